import type { Interrupts } from '@earshot/shared/interrupts'

/**
 * Everything a command may know of the world around the process; read once, by main.ts, and handed
 * on.
 */
export type Surroundings = {
  argv: readonly string[]
  env: Record<string, string | undefined>
  cwd: string
  /** Node's own version, as 24.1.0. */
  nodeVersion: string
  /** Keys, for what takes over the terminal. */
  stdin?: NodeJS.ReadStream
  stdout: Stream
  stderr: Stream
  interrupts: Interrupts
}

export type Stream = {
  write(text: string): unknown
  isTTY?: boolean
  columns?: number
  rows?: number
  on?(event: 'resize', listener: () => void): unknown
  off?(event: 'resize', listener: () => void): unknown
}
