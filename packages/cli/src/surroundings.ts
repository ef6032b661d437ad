/** Everything a command may know of the world around the process; read once, by main.ts, and handed on. */
export type Surroundings = {
  argv: readonly string[]
  env: Record<string, string | undefined>
  cwd: string
  /** Node's own version, as 24.1.0. */
  nodeVersion: string
  stdout: Stream
  stderr: Stream
  interrupts: Interrupts
}

export type Stream = { write(text: string): unknown; isTTY?: boolean; columns?: number }

/** Ctrl-C and the like, in the order they come. A third one ends the process on the spot. */
export type Interrupts = {
  /** Fires at the first; its reason is an {@link Interrupted}. */
  first: AbortSignal
  /** Fires at the second: whatever was being finished must now be let go. */
  second: AbortSignal
  /** Tells how many came so far and what is done about it; services use it to speak, clients stay silent. */
  onInterrupt(listener: (count: number) => void): void
}

/** Why a signal fired: someone asked the process to stop. */
export class Interrupted extends Error {
  readonly signal: NodeJS.Signals

  constructor(signal: NodeJS.Signals) {
    super(`Interrupted by ${signal}.`)
    this.name = 'Interrupted'
    this.signal = signal
  }
}
