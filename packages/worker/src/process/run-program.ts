import { spawn, type ChildProcess } from 'node:child_process'
import { EarshotError } from '@earshot/contract'
import { killTree, type Limits, limited, treeOptions } from '@earshot/shared/platform'

export type RunOptions = {
  /** A name on the PATH, or a path. */
  program: string
  /** Handed over as they are: no shell sees them. */
  args: readonly string[]
  /** What it reads on its standard input; nothing unless given. */
  input?: string
  signal?: AbortSignal | undefined
  /**
   * Called with each line of standard output; without it the output is kept and returned. What it
   * throws ends the program.
   */
  onLine?: (line: string) => void
  /**
   * Takes standard output as bytes, in place of `onLine`. The program waits for the promise; what
   * it throws ends the program.
   */
  onBytes?: (bytes: Buffer) => Promise<void>
  /** Seconds without any output after which the program counts as hung and is ended. */
  quietLimitS: number
  limits?: Limits
}

export type Ended = {
  /** Null when a signal ended it. */
  code: number | null
  killedBy: NodeJS.Signals | null
  /** Standard output, up to a million characters, when no `onLine` took it. */
  stdout: string
  /** The last 4,000 characters of standard error. */
  stderr: string
}

const MOST_STDOUT = 1_000_000
const STDERR_TAIL = 4_000
/** How long a program may take to end after it was asked to. */
const GRACE_MS = 2_000
// prlimit answers so for a program that it could not start.
const NOT_FOUND = 127

/**
 * Runs a program in a child process to its end, without a shell. Its exit code is the caller's to
 * judge. It ends, with everything it started, when `signal` fires or when it falls silent: asked
 * first, killed two seconds later.
 *
 * @throws EarshotError EARSHOT_ENGINE_MISSING when there is no such program, EARSHOT_ENGINE_FAILED
 *   when it hung; the signal's reason on abort; what `onLine` threw
 * @example
 * const { code, stdout } = await runProgram({ program: 'flite', args: ['-lv'], quietLimitS: 10 })
 */
export async function runProgram(options: RunOptions): Promise<Ended> {
  const { program, args, signal, quietLimitS } = options
  signal?.throwIfAborted()
  const call = await limited(program, args, options.limits ?? {})
  signal?.throwIfAborted()
  const child = spawn(call.program, call.args, {
    ...treeOptions(),
    stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
  })
  // One that ends without reading it all tells why by its exit code.
  child.stdin?.on('error', () => {}).end(options.input)
  let failure: unknown
  const stop = (why: unknown) => {
    if (failure !== undefined) return
    failure = why
    endSoftly(child)
  }
  const onAbort = () => stop(signal?.reason)
  const watchdog = setTimeout(() => stop(hung(program, quietLimitS)), quietLimitS * 1000)
  signal?.addEventListener('abort', onAbort)
  try {
    const ended = await collect(child, options, () => watchdog.refresh(), stop)
    if (failure !== undefined) throw failure
    if (ended.code === NOT_FOUND && ended.stderr.startsWith('prlimit: failed to execute'))
      throw missing(program)
    return ended
  } finally {
    clearTimeout(watchdog)
    signal?.removeEventListener('abort', onAbort)
  }
}

function collect(
  child: ChildProcess,
  { program, onLine, onBytes }: RunOptions,
  alive: () => void,
  stop: (why: unknown) => void,
): Promise<Ended> {
  let stdout = ''
  let stderr = ''
  const keep = (text: string) => void (stdout = (stdout + text).slice(0, MOST_STDOUT))
  const lines = onLine === undefined ? { take: keep, end: () => undefined } : byLine(onLine)
  const guarded = (work: () => void) => {
    try {
      work()
    } catch (err) {
      stop(err)
    }
  }
  let taken = Promise.resolve()
  if (onBytes === undefined)
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      alive()
      guarded(() => lines.take(text))
    })
  else
    child.stdout?.on('data', (bytes: Buffer) => {
      alive()
      child.stdout?.pause()
      // One after the other: a paused stream may still hand over what it has.
      taken = taken
        .then(() => onBytes(bytes))
        .catch(stop)
        .finally(() => {
          alive()
          child.stdout?.resume()
        })
    })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    alive()
    stderr = (stderr + text).slice(-STDERR_TAIL)
  })
  return new Promise((resolve, reject) => {
    child.once('error', (err: NodeJS.ErrnoException) => {
      reject(
        err.code === 'ENOENT'
          ? missing(program)
          : new EarshotError(
              'EARSHOT_ENGINE_FAILED',
              `${program} could not be started: ${err.message}.`,
              { cause: err },
            ),
      )
    })
    child.once('close', (code, killedBy) => {
      guarded(lines.end)
      void taken.then(() => resolve({ code, killedBy, stdout, stderr }))
    })
  })
}

function byLine(onLine: (line: string) => void): { take(text: string): void; end(): void } {
  let rest = ''
  return {
    take(text) {
      // What a line has so far is not looked through again.
      const [end = '', ...lines] = text.split('\n')
      rest += end
      if (rest.length > MOST_STDOUT)
        throw new EarshotError('EARSHOT_ENGINE_FAILED', 'It printed a line without end.')
      for (const next of lines) {
        onLine(rest.replace(/\r$/, ''))
        rest = next
      }
    },
    end: () => void (rest !== '' && onLine(rest)),
  }
}

function endSoftly(child: ChildProcess): void {
  killTree(child, 'SIGTERM')
  const timer = setTimeout(() => killTree(child, 'SIGKILL'), GRACE_MS)
  child.once('close', () => clearTimeout(timer))
}

function missing(program: string): EarshotError {
  return new EarshotError(
    'EARSHOT_ENGINE_MISSING',
    `The program ${program} is not on this machine.`,
    { hint: 'Run: earshot doctor' },
  )
}

function hung(program: string, quietLimitS: number): EarshotError {
  return new EarshotError(
    'EARSHOT_ENGINE_FAILED',
    `${program} gave no sign of life for ${quietLimitS} s and was stopped.`,
  )
}

/**
 * The error for a program that ended badly, with what it said last.
 *
 * @example
 * if (ended.code !== 0) throw endedBadly('flite', ended)
 */
export function endedBadly(program: string, { code, killedBy, stderr }: Ended): EarshotError {
  if (/No space left on device/.test(stderr))
    return new EarshotError(
      'EARSHOT_DISK_FULL',
      `The disk is full: ${program} could not write its result.`,
    )
  const how = killedBy === null ? `ended with exit code ${code}` : `was ended by ${killedBy}`
  const said = lastLine(stderr)
  return new EarshotError(
    'EARSHOT_ENGINE_FAILED',
    `${program} ${how}${said === '' ? '.' : `; its last words: ${said}`}`,
  )
}

/**
 * Seconds that a program may take to speak a text, of which it says nothing meanwhile: a minute,
 * and what a machine needs that speaks as slowly as a person does (15 characters a second).
 *
 * @example
 * speakingLimitS('Dinner is ready.') // 61: one that hangs over a short sentence is found out soon
 */
export const speakingLimitS = (text: string): number => 60 + Math.round(text.length / 15)

/** The last line of a text that says something, up to 300 characters. */
export function lastLine(text: string): string {
  return (
    text
      .trim()
      .split(/[\r\n]+/)
      .at(-1)
      ?.trim()
      .slice(0, 300) ?? ''
  )
}
