import { type ChildProcess, fork } from 'node:child_process'
import { siblingModule } from '@earshot/db/sibling-module'
import { EarshotError } from '@earshot/contract'
import { killTree, treeOptions } from '@earshot/shared/platform'
import { fileURLToPath } from 'node:url'
import { lastLine } from '../process/run-program.ts'

export type WhisperBuild = 'cpu' | 'cuda' | 'vulkan' | 'metal'
/** `native`: the module's own file. `model` null: only to see whether the module loads. */
export type Loading = { native: string; model: string | null; build: WhisperBuild }
/** A piece of a WAV file, in bytes. */
export type Hearing = { wav: string; from: number; bytes: number; options: Record<string, unknown> }
/** Times in milliseconds from the start of the piece. */
export type HeardPiece = { language?: string; segments: { text: string; t0: number; t1: number }[] }
export type ToChild = { load: Loading } | { hear: Hearing }
export type FromChild =
  | { loaded: { seconds: number } }
  | { alive: number }
  | { heard: HeardPiece }
  | { failed: string }

export type WhisperProcess = {
  /** How long loading took. */
  readonly loadS: number
  /**
   * Throws EARSHOT_ENGINE_FAILED when it fails, crashes or hangs, and the signal's reason on abort;
   * the process is over then.
   */
  hear(
    hearing: Hearing,
    signal: AbortSignal,
    onProgress?: (fraction: number) => void,
  ): Promise<HeardPiece>
  readonly over: boolean
  readonly pid: number
  /** Ends it at once. */
  kill(): Promise<void>
}

const STDERR_TAIL = 4_000

/**
 * Starts whisper.cpp in a process of its own and loads a model. There is no way to stop it in the
 * middle of a piece but to kill it.
 *
 * @param quietLimitS seconds without a sign of life after which it counts as hung and is killed
 * @throws EarshotError EARSHOT_ENGINE_MISSING when module or model do not load here,
 *   EARSHOT_ENGINE_FAILED when it crashes or hangs; the signal's reason on abort
 */
export async function startWhisper(
  loading: Loading,
  { quietLimitS, signal }: { quietLimitS: number; signal: AbortSignal },
): Promise<WhisperProcess> {
  signal.throwIfAborted()
  const child = fork(fileURLToPath(siblingModule(import.meta.url, 'whisper-child')), [], {
    ...treeOptions(),
    execArgv: [],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  })
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  let stderr = ''
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-STDERR_TAIL)
  })
  const kill = async () => {
    killTree(child, 'SIGKILL')
    await ended
  }
  const ask = <Answer>(
    message: ToChild,
    answerOf: (said: FromChild) => Answer | undefined,
    abort: AbortSignal,
  ) =>
    converse(child, message, {
      answerOf,
      signal: abort,
      quietLimitS,
      kill,
      lastWords: () => stderr,
    })
  try {
    const { seconds } = await ask(
      { load: loading },
      (said) => ('loaded' in said ? said.loaded : undefined),
      signal,
    )
    return {
      loadS: seconds,
      pid: child.pid!,
      hear: (hearing, abort, onProgress) =>
        ask(
          { hear: hearing },
          (said) => {
            if ('alive' in said) onProgress?.(Math.min(1, said.alive))
            return 'heard' in said ? said.heard : undefined
          },
          abort,
        ),
      get over() {
        return child.exitCode !== null || child.signalCode !== null
      },
      kill,
    }
  } catch (err) {
    await kill()
    // It did not begin to work: another node may well have what this one lacks.
    if (err instanceof EarshotError)
      throw new EarshotError('EARSHOT_ENGINE_MISSING', err.message, { cause: err })
    throw err
  }
}

type Conversation<Answer> = {
  answerOf(said: FromChild): Answer | undefined
  signal: AbortSignal
  quietLimitS: number
  kill(): Promise<void>
  lastWords(): string
}

/** Sends a message and waits for its answer, or for whatever comes in between. */
async function converse<Answer>(
  child: ChildProcess,
  message: ToChild,
  { answerOf, signal, quietLimitS, kill, lastWords }: Conversation<Answer>,
): Promise<Answer> {
  signal.throwIfAborted()
  const answer = Promise.withResolvers<Answer>()
  const onMessage = (said: FromChild) => {
    watchdog.refresh()
    const found = answerOf(said)
    if (found !== undefined) answer.resolve(found)
    else if ('failed' in said)
      answer.reject(new EarshotError('EARSHOT_ENGINE_FAILED', `whisper.cpp failed: ${said.failed}`))
  }
  const onEnd = (code: number | null, killedBy: string | null) => {
    const said = lastLine(lastWords())
    answer.reject(
      new EarshotError(
        'EARSHOT_ENGINE_FAILED',
        `whisper.cpp ${killedBy === null ? `ended with exit code ${code}` : `was ended by ${killedBy}`}${said === '' ? '.' : `; its last words: ${said}`}`,
      ),
    )
  }
  const onAbort = () => answer.reject(signal.reason)
  const watchdog = setTimeout(
    () =>
      answer.reject(
        new EarshotError(
          'EARSHOT_ENGINE_FAILED',
          `whisper.cpp gave no sign of life for ${quietLimitS} s and was stopped.`,
        ),
      ),
    quietLimitS * 1000,
  )
  child.on('message', onMessage).once('close', onEnd).once('error', answer.reject)
  signal.addEventListener('abort', onAbort)
  try {
    child.send(message, (err) => {
      if (err !== null) onEnd(child.exitCode, child.signalCode)
    })
    return await answer.promise
  } catch (err) {
    await kill()
    throw err
  } finally {
    clearTimeout(watchdog)
    signal.removeEventListener('abort', onAbort)
    child.off('message', onMessage).off('close', onEnd).off('error', answer.reject)
  }
}
