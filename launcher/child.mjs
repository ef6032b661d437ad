// Starts child processes for the launcher: quiet while all goes well, a progress line for what
// takes longer than 2 s.
import { spawn } from 'node:child_process'
import { delimiter } from 'node:path'

/**
 * The environment for a child: without what npm put there for its own script. npm hands its whole
 * configuration down as npm_config_*, and a child npm or pnpm would take it for its own (a
 * `--prefix` of the outer one moves the inner install).
 *
 * @param {{ path?: string[], set?: Record<string, string> }} [more] folders to put first in PATH;
 *   variables to set
 */
export function childEnvironment({ path = [], set = {} } = {}) {
  const env = {}
  for (const [name, value] of Object.entries(process.env)) {
    if (!/^npm_(config|lifecycle|package)_/i.test(name)) env[name] = value
  }
  // On Windows the variable may be spelled Path; two spellings in one object would leave it to
  // chance which one counts.
  const name = Object.keys(env).find((key) => key.toUpperCase() === 'PATH') ?? 'PATH'
  env[name] = [...path, env[name] ?? ''].join(delimiter)
  return { ...env, ...set }
}

/** Prints one line of the launcher's own on stderr, so that stdout stays the program's. */
export function say(line) {
  process.stderr.write(`earshot: ${line}\n`)
}

/**
 * Runs a program to its end and keeps what it printed.
 *
 * @param {string} program
 * @param {string[]} args
 * @param {{ doing?: string, cwd?: string, env?: Record<string, string>, timeout?: number }}
 *   [options] doing: what is happening, for the progress line ("installing dependencies"); timeout:
 *   in ms, then it is ended
 * @returns {Promise<{ ok: boolean, output: string, stdout: string }>} ok is false also where the
 *   program does not exist
 */
export function run(program, args, { doing, env = childEnvironment(), ...options } = {}) {
  return new Promise((resolve) => {
    let output = ''
    let stdout = ''
    const progress = doing === undefined ? () => {} : showProgress(doing)
    const done = (ok) => {
      progress(ok)
      resolve({ ok, output, stdout })
    }
    const child = spawn(program, args, {
      ...options,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      windowsHide: true,
    })
    child.stdout.on('data', (data) => {
      output += data
      stdout += data
    })
    child.stderr.on('data', (data) => (output += data))
    child.on('error', (error) => {
      output += error.message
      done(false)
    })
    child.on('close', (code) => done(code === 0))
  })
}

/**
 * After 2 s says what is going on, then every 10 s for how long; returns the function that ends it.
 */
function showProgress(doing) {
  const started = Date.now()
  const seconds = () => Math.round((Date.now() - started) / 1000)
  let shown = false
  const first = setTimeout(() => {
    shown = true
    say(`${doing} …`)
  }, 2_000)
  const later = setInterval(() => say(`${doing} … ${seconds()} s`), 10_000)
  return (ok) => {
    clearTimeout(first)
    clearInterval(later)
    if (shown) say(`${doing}: ${ok ? 'done' : 'failed'} after ${seconds()} s`)
  }
}

/**
 * The line of a program's output that most likely names the fault: the last that speaks of an
 * error, else the last.
 */
export function faultIn(output) {
  const lines = output
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !/complete log of this run/i.test(line))
  return (
    lines.findLast((line) => /^E:|\bERR|error|fail|cannot|could not|unable/i.test(line)) ??
    lines.at(-1) ??
    'it said nothing'
  )
}

/**
 * What to do where a program's output says that it does not trust a certificate; empty where it
 * says no such thing.
 */
export function certificateHint(output) {
  if (
    !/self.signed certificate|unable to get local issuer|unable to verify the first certificate|UnknownIssuer|invalid peer certificate/i.test(
      output,
    )
  )
    return ''
  return '\nA proxy that reads along? Name its authority:  export NODE_EXTRA_CA_CERTS=/path/to/ca.pem'
}

/** A fault the launcher reports as one sentence and ends with. */
export class LauncherError extends Error {}

/** Runs one of the launcher's programs; a LauncherError becomes its sentence and exit code 1. */
export async function main(work) {
  try {
    process.exitCode = await work(process.argv.slice(2))
  } catch (error) {
    say(error instanceof LauncherError ? error.message : error.stack)
    process.exitCode = 1
  }
}
