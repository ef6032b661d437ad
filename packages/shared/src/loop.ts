import type { Log } from './log.ts'

export type Loop = {
  start(): void
  /** Runs the work soon, and once more when it is running already. */
  kick(): void
  /** Waits for the work in hand. */
  stop(): Promise<void>
}

/**
 * Runs some work again and again, never twice at once: every `everyMs` milliseconds, and at once
 * when kicked. Work that throws is logged and tried again at the next turn: a loop is what carries
 * a service through an outage.
 *
 * @example
 * const sweeping = createLoop({ everyMs: 1000, work: sweepOnce, log })
 * sweeping.start()
 */
export function createLoop(options: {
  everyMs: number
  work: () => Promise<void>
  log: Log
}): Loop {
  const { everyMs, work, log } = options
  let timer: NodeJS.Timeout | undefined
  let running: Promise<void> | undefined
  let again = false
  let stopped = true

  async function turn(): Promise<void> {
    clearTimeout(timer)
    do {
      again = false
      try {
        await work()
      } catch (err) {
        log.warn({ err }, 'A recurring task failed; it is tried again')
        // At the next turn and not at once: an outage must not make us spin.
        again = false
      }
    } while (again && !stopped)
    running = undefined
    if (!stopped) timer = setTimeout(begin, everyMs)
  }

  function begin(): void {
    running ??= turn()
  }

  return {
    start() {
      stopped = false
      timer = setTimeout(begin, everyMs)
    },
    kick() {
      if (stopped) return
      if (running === undefined) begin()
      else again = true
    },
    async stop() {
      stopped = true
      clearTimeout(timer)
      await running
    },
  }
}
