import { EarshotError, type ErrorCode } from '@earshot/contract'
import { Interrupted } from '@earshot/shared/interrupts'

/** The exit codes of every command; docs/cli.md lists them. */
export const EXIT = { ok: 0, failed: 1, usage: 2, noMesh: 3 } as const

const USAGE: readonly ErrorCode[] = [
  'EARSHOT_BAD_CONFIG',
  'EARSHOT_DATABASE_NEEDED',
  'EARSHOT_KEY_NEEDED',
]

/**
 * Wrong arguments, seen before anything was done; a mesh that refuses a request is a failure
 * instead.
 */
export class WrongArguments extends EarshotError {
  constructor(sentence: string, more: { field?: string; hint: string }) {
    super('EARSHOT_BAD_REQUEST', sentence, more)
  }
}

/** The exit code that an error ends with: 130 for Ctrl-C and 143 for SIGTERM, as shells have it. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof Interrupted) return error.exitCode
  if (!(error instanceof EarshotError)) return EXIT.failed
  if (error instanceof WrongArguments || USAGE.includes(error.code)) return EXIT.usage
  return error.code === 'EARSHOT_UNREACHABLE' ? EXIT.noMesh : EXIT.failed
}
