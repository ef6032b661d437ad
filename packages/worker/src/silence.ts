import { EarshotError } from '@earshot/contract'

/** What a timer can wait at most. */
const LONGEST_MS = 2 ** 31 - 1

export type Silence = {
  /** A sign of life: the limit counts from here. */
  heard(): void
  /** Rejects with EARSHOT_SILENT when nothing was heard for longer than the limit. */
  readonly broken: Promise<never>
  /** Fires at the same moment. */
  readonly signal: AbortSignal
  stop(): void
}

/**
 * Watches that some work gives a sign of life now and then. What hangs must not keep its job
 * forever: the lease does not tell, since the heartbeat goes on.
 *
 * @param limitS seconds without a sign of life
 * @example
 * const silence = watchSilence(600)
 * await Promise.race([work({ progress: silence.heard, signal: silence.signal }), silence.broken]).finally(silence.stop)
 */
export function watchSilence(limitS: number): Silence {
  // Made when someone listens: most short jobs do not.
  let controller: AbortController | undefined
  let isBroken = false
  const broken = Promise.withResolvers<never>()
  broken.promise.catch(() => {}) // nobody may be waiting any more
  const timer = setTimeout(
    () => {
      broken.reject(
        new EarshotError('EARSHOT_SILENT', `It made no progress for ${limitS} s.`, {
          hint: 'A handler calls progress() while it works; a kind that needs longer is defined with a greater limit of silence.',
        }),
      )
      isBroken = true
      controller?.abort()
    },
    Math.min(limitS * 1000, LONGEST_MS),
  )
  return {
    heard: () => void timer.refresh(),
    broken: broken.promise,
    get signal() {
      controller ??= new AbortController()
      if (isBroken) controller.abort()
      return controller.signal
    },
    stop: () => clearTimeout(timer),
  }
}
