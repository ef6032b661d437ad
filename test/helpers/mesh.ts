import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { createClient, type Client } from '@earshot/sdk'

const MAIN = path.resolve(import.meta.dirname, '../../packages/cli/src/main.ts')
/**
 * As bin/earshot.mjs has it for users: reading 300 files of TypeScript costs a process of the mesh
 * 0.3 s of a core, and the tests start hundreds.
 */
export const COMPILE_CACHE = path.resolve(import.meta.dirname, '../../.tools/compile-cache')

/** What a process of the mesh is started with, besides PATH and the like. */
export type Settings = Record<string, string>

export type MeshProcess = {
  child: ChildProcess
  /** What the process announced with --json once it was up. */
  announced: Record<string, string>
  /** Everything it wrote to standard error. */
  log(): string
  /**
   * Sends a signal and waits for the end; resolves with the exit code, null after a signal's end.
   */
  stop(signal?: NodeJS.Signals): Promise<number | null>
}

/** What goes before a command to run it on another box: `ip netns exec NAME`, say. */
export type Box = string[]

/** The environment of the tests without anyone's own settings. */
function environment(settings: Settings): Record<string, string | undefined> {
  const { PATH, HOME, LANG, TMPDIR } = process.env
  return {
    PATH,
    HOME,
    LANG,
    TMPDIR,
    EARSHOT_LOG_LEVEL: 'debug',
    EARSHOT_SELF_TEST: 'off',
    NODE_COMPILE_CACHE: COMPILE_CACHE,
    ...settings,
  }
}

/**
 * Starts `earshot up|coordinator|worker` as a real process and waits until it says that it is up.
 *
 * @throws Error with the process's own words when it ends before
 */
export async function startProcess(
  command: 'up' | 'coordinator' | 'worker',
  settings: Settings,
  options: { flags?: string[]; box?: Box } = {},
): Promise<MeshProcess> {
  await mkdir(settings.EARSHOT_HOME!, { recursive: true })
  const [program, ...args] = [
    ...(options.box ?? []),
    process.execPath,
    MAIN,
    command,
    '--json',
    ...(options.flags ?? []),
  ]
  const child = spawn(program!, args, {
    env: environment(settings),
    cwd: settings.EARSHOT_HOME,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let log = ''
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    log += text
  })
  const ended = once(child, 'exit')
  const announced = await Promise.race([firstJson(child), ended.then(() => undefined)])
  if (announced === undefined || 'error' in announced) {
    throw new Error(
      `earshot ${command} ended with ${child.exitCode ?? child.signalCode}:\n${JSON.stringify(announced)}\n${log}`,
    )
  }
  return {
    child,
    announced,
    log: () => log,
    async stop(signal = 'SIGTERM') {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill(signal)
        await ended
      }
      return child.exitCode
    },
  }
}

/** --json prints one object, over several lines or one. */
async function firstJson(child: ChildProcess): Promise<Record<string, string> | undefined> {
  let text = ''
  for await (const line of createInterface({ input: child.stdout! })) {
    text += line
    try {
      return JSON.parse(text) as Record<string, string>
    } catch {
      // The object is not whole yet.
    }
  }
  return undefined
}

export type Ran = { code: number | null; stdout: string; stderr: string }

/** Runs one earshot command to its end, as a person would. */
export async function earshot(
  args: string[],
  settings: Settings = {},
  options: { cwd?: string; box?: Box } = {},
): Promise<Ran> {
  const [program, ...rest] = [...(options.box ?? []), process.execPath, MAIN, ...args]
  const child = spawn(program!, rest, {
    env: environment({ EARSHOT_LOG_LEVEL: 'warn', ...settings }),
    cwd: options.cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  await once(child, 'close')
  return { code: child.exitCode, stdout, stderr }
}

/**
 * Waits for the first event that `wanted` accepts, among all since the mesh began.
 *
 * @throws Error naming what was waited for when it does not come within `seconds`
 */
export async function eventOf(
  client: Client,
  what: string,
  wanted: (event: {
    type: string
    job_id?: number | null
    document_id?: number | null
    node?: string | null
    data?: Record<string, unknown>
  }) => boolean,
  seconds = 60,
): Promise<void> {
  const signal = AbortSignal.timeout(seconds * 1000)
  try {
    for await (const event of client.events({ since: '0', signal })) if (wanted(event)) return
  } catch (error) {
    if (!signal.aborted) throw error
  }
  throw new Error(`In ${seconds} s there was no event: ${what}`)
}

export const clientOf = (process_: MeshProcess, key?: string): Client =>
  createClient({ url: process_.announced.url!, key })
