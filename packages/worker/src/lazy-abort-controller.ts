/**
 * An AbortController whose signal is made when someone asks for it: most short jobs end before
 * anyone does, and making one takes longer than they do.
 */
export type LazyAbortController = {
  readonly aborted: boolean
  readonly reason: unknown
  readonly signal: AbortSignal
  /** The first reason counts. */
  abort(reason: unknown): void
}

/**
 * @example
 * const end = createLateAbort()
 * end.abort('lost')
 * end.signal.aborted // true
 */
export function createLazyAbortController(): LazyAbortController {
  let controller: AbortController | undefined
  let cause: { reason: unknown } | undefined
  return {
    get aborted() {
      return cause !== undefined
    },
    get reason() {
      return cause?.reason
    },
    get signal() {
      controller ??= new AbortController()
      if (cause !== undefined) controller.abort(cause.reason)
      return controller.signal
    },
    abort(reason) {
      cause ??= { reason }
      controller?.abort(cause.reason)
    },
  }
}
