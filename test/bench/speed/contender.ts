/**
 * What takes part in a race: a queue with two worker processes that run a no-op, or the mesh with
 * its coordinator and two workers.
 */
export type Contender = {
  name: string
  /**
   * Enqueues so many jobs at once, by the fastest way that its documentation names; durable when
   * this resolves.
   */
  addMany(count: number): Promise<void>
  /** A client with a connection of its own. */
  connect(): Promise<Client>
  /** What its workers ran since {@link Ran.reset}. */
  ran: Ran
  /** Its own processes: the server's are not among them. */
  pids: readonly number[]
  /** Whether a job's end has not been committed yet. */
  isOpen(): Promise<boolean>
  stop(): Promise<void>
}

export type Client = {
  /** Enqueues one job in a transaction of its own. */
  add(payload: { t?: number }): Promise<void>
  close(): Promise<void>
}

/**
 * What the worker processes tell: how many jobs their handlers saw, and after how many milliseconds
 * each that carried a time.
 */
export type Ran = { count: number; delays: number[]; reset(): void }

/** The same clock in all processes of a machine, in milliseconds. */
export const now = (): number => Number(process.hrtime.bigint()) / 1e6

export function createRan(): Ran {
  const ran: Ran = {
    count: 0,
    delays: [],
    reset() {
      ran.count = 0
      ran.delays = []
    },
  }
  return ran
}
