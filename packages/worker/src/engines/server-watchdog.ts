import type http from 'node:http'
import { EarshotError } from '@earshot/contract'

/** How long a server is trusted that says nothing while it is to answer. In seconds. */
export type Patience = {
  /**
   * Of silence, after which it is asked something that every server answers at once; and again
   * after each sign of life.
   */
  askS: number
  /** That it may take to answer that. */
  answerS: number
  /** Of silence in all: it answers other questions, and goes on with this one no more. */
  silenceS: number
}

/**
 * A prompt on a processor, or a model that is loaded first, takes minutes before the first word:
 * silence alone tells nothing. A server that answers other questions meanwhile is busy. Some do
 * nothing else while they work, and answer late.
 */
export const PATIENCE: Patience = { askS: 5, answerS: 60, silenceS: 300 }
/** Of servers that answer whatever they are busy with: Ollama, llama-server, vLLM, LM Studio. */
export const PROMPT_ANSWER_S = 15
/** One that hung is given so long to show that it is back. */
const BACK_MS = 3_000
const TICK_MS = 1_000

export type Watching = { onAlive?: (() => void) | undefined; whole?: boolean | undefined }

/** Tells a server that hangs from one that is busy. */
export type ServerWatchdog = {
  /** Throws EARSHOT_ENGINE_MISSING at once when the server was found to hang, and still does. */
  check(): Promise<void>
  /**
   * Watches a request until its answer is whole. When the server hangs the request breaks off: with
   * EARSHOT_ENGINE_MISSING when it answers nothing at all, which is the node's matter; with
   * EARSHOT_ENGINE_FAILED when it is this request alone.
   *
   * @param options.onAlive called when it said nothing for a while, and lives
   * @param options.whole its answer comes in one piece when all is done: it is waited for three
   *   times as long
   */
  watch(request: http.ClientRequest, options?: Watching): void
}

/**
 * @param options.who the server, as people know it
 * @param options.ask asks it something small; resolves when anything is answered
 * @example
 * createLife({ who: 'Ollama at box:11434', ask: (signal) => askAnything(`${host}/api/version`, signal), patience: () => PATIENCE })
 */
export function createServerWatchdog({
  who,
  ask,
  patience,
}: {
  who: string
  ask(signal: AbortSignal): Promise<unknown>
  patience: () => Patience
}): ServerWatchdog {
  let hung = false
  const hangs = (seconds: number) =>
    new EarshotError(
      'EARSHOT_ENGINE_MISSING',
      `${who} hangs: it takes requests, and has answered nothing for ${seconds} s, not even what it has.`,
    )

  return {
    async check() {
      if (!hung) return
      const ms = Math.min(BACK_MS, patience().answerS * 1000)
      await ask(AbortSignal.timeout(ms)).catch(() => {
        throw hangs(ms / 1000)
      })
      hung = false
    },

    watch(request, { onAlive, whole = false } = {}) {
      const { askS, answerS, silenceS: most } = patience()
      const silenceS = whole ? 3 * most : most
      const tickMs = Math.min(TICK_MS, askS * 250)
      let answer: http.IncomingMessage | undefined
      let moved = -1
      // Counted by ticks: a worker that was frozen itself has seen nothing of that time.
      let silentMs = 0
      let restMs = 0
      let question: AbortController | undefined

      const stop = (): void => {
        clearInterval(timer)
        question?.abort()
      }
      const fail = (error: EarshotError): void => {
        stop()
        ;(answer ?? request).destroy(error)
      }
      const inquire = async (): Promise<void> => {
        const asked = (question = new AbortController())
        const answered = await ask(
          AbortSignal.any([asked.signal, AbortSignal.timeout(answerS * 1000)]),
        ).then(
          () => true,
          () => false,
        )
        if (asked.signal.aborted) return
        question = undefined
        restMs = 0
        if (answered) return onAlive?.()
        hung = true
        fail(hangs(Math.round(silentMs / 1000)))
      }
      const tick = (): void => {
        if (answer?.complete) return stop()
        const { socket } = request
        const bytes = (socket?.bytesRead ?? 0) + (socket?.bytesWritten ?? 0)
        if (bytes !== moved) {
          moved = bytes
          silentMs = 0
          restMs = 0
          question?.abort()
          question = undefined
          return
        }
        silentMs += tickMs
        restMs += tickMs
        if (silentMs >= silenceS * 1000)
          return fail(
            new EarshotError(
              'EARSHOT_ENGINE_FAILED',
              `${who} was silent for ${silenceS} s over this, though it answers otherwise.`,
              { hint: 'One that needs longer is allowed it by the setting engines.silence_s.' },
            ),
          )
        if (question === undefined && restMs >= askS * 1000) void inquire()
      }
      const timer = setInterval(tick, tickMs)
      request
        .once('response', (incoming) => {
          answer = incoming
          incoming.once('close', stop)
        })
        .once('error', stop)
    },
  }
}
