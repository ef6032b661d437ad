import { constants } from 'node:os'
import { stopSignals } from './platform.ts'

/** Ctrl-C and the like, in the order they come. A third one ends the process on the spot. */
export type Interrupts = {
  /** Fires at the first; its reason is an {@link Interrupted}. */
  first: AbortSignal
  /** Fires at the second: whatever was being finished must now be let go. */
  second: AbortSignal
  /**
   * Tells how many came so far and what is done about it; services use it to speak, clients stay
   * silent.
   */
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

  /** 130 for Ctrl-C and 143 for SIGTERM, as shells have it. */
  get exitCode(): number {
    return 128 + constants.signals[this.signal]
  }
}

/**
 * Takes the signals that ask this process to stop, and the end of its launcher. For main programs
 * only, which own their process and hand it in.
 */
export function onSignals(program: NodeJS.Process): Interrupts {
  const first = new AbortController()
  const second = new AbortController()
  const listeners: ((count: number) => void)[] = []
  let count = 0
  const interrupt = (signal: NodeJS.Signals): void => {
    count += 1
    const reason = new Interrupted(signal)
    if (count === 1) first.abort(reason)
    else if (count === 2) second.abort(reason)
    else program.exit(reason.exitCode)
    for (const listener of listeners) listener(count)
  }
  for (const signal of stopSignals()) program.on(signal, () => interrupt(signal))
  if (program.connected) {
    // The launcher holds the other end. Killed, it can pass on no signal: the mesh must not stay
    // behind with the port.
    program.channel?.unref()
    program.once('disconnect', () => interrupt('SIGTERM'))
  }
  return {
    first: first.signal,
    second: second.signal,
    onInterrupt: (listener) => void listeners.push(listener),
  }
}
