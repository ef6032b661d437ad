import { takeEnvironment } from '@earshot/shared/config/secrets'
import { onSignals, Interrupted } from '@earshot/shared/interrupts'
import { exitCodeOf } from './exit-code.ts'
import { createOutput, showError } from './output.ts'
import { runProgram } from './program.ts'
import type { Surroundings } from './surroundings.ts'

/**
 * The only place that reads the environment, the arguments and signals, and the only one that ends
 * the process.
 */
async function main(): Promise<void> {
  ignoreClosedPipes()
  const interrupts = onSignals(process)
  const surroundings: Surroundings = {
    argv: process.argv.slice(2),
    env: takeEnvironment(process.env),
    cwd: process.cwd(),
    nodeVersion: process.versions.node,
    // Looked at only when asked for: opening it would hold the process.
    get stdin() {
      return process.stdin
    },
    stdout: process.stdout,
    stderr: process.stderr,
    interrupts,
  }
  const code = await runProgram(surroundings).catch((error: unknown) => fail(error, surroundings))
  // A pipe may still be taking what was written; a socket or a timer left over must not keep the
  // process.
  process.stdout.write('', () => process.stderr.write('', () => process.exit(code)))
}

function fail(error: unknown, { argv, env, stdout, stderr, interrupts }: Surroundings): number {
  // Whatever broke because someone stopped the command is no fault of its own.
  if (interrupts.first.aborted && isAbort(error)) return exitCodeOf(interrupts.first.reason)
  const json = argv.includes('--json')
  showError(createOutput(stdout, stderr, { json, noColor: Boolean(env.NO_COLOR) }), error)
  if (/^(debug|trace)$/.test(env.EARSHOT_LOG_LEVEL ?? '') && error instanceof Error)
    stderr.write(`${error.stack}\n`)
  return exitCodeOf(error)
}

const isAbort = (error: unknown) =>
  error instanceof Interrupted || (error instanceof Error && error.name === 'AbortError')

/** `earshot jobs | head -1` closes the pipe early, and a terminal may be gone: that is no error. */
function ignoreClosedPipes(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error
    })
  }
}

await main()
