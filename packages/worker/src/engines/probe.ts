import { EarshotError } from '@earshot/contract'
import type { EngineReport } from './engine.ts'
import { runProgram } from '../process/run-program.ts'

/**
 * The report on an engine that was used once: with its version where `use` finds it out, with the
 * reason where it failed.
 *
 * @param failed what a report of failure says besides
 * @throws what is no EarshotError
 * @example
 * await reportOf(() => versionOf('flite', /version: flite-([\d.]+)/), { missing: 'flite' })
 */
export async function reportOf(
  use: () => Promise<string | undefined>,
  failed: Pick<EngineReport, 'missing' | 'broken'>,
): Promise<EngineReport> {
  try {
    const version = await use()
    return { available: true, ...(version === undefined ? {} : { version }) }
  } catch (err) {
    if (!(err instanceof EarshotError)) throw err
    return { available: false, reason: err.message, ...failed }
  }
}

/** The version that `program --version` tells, as the pattern's first group finds it. */
export async function versionOf(
  program: string,
  pattern: RegExp,
  signal?: AbortSignal,
): Promise<string | undefined> {
  const { stdout } = await runProgram({ program, args: ['--version'], signal, quietLimitS: 30 })
  return pattern.exec(stdout)?.[1]
}
