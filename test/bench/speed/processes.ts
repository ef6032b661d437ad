import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import type { Ran } from './contender.ts'
import type { Told } from './tally.ts'

export type Child = { pid: number; stop(): Promise<void> }

/**
 * Starts a file of this folder as a process, and waits until it says that it is ready. With
 * `EARSHOT_BENCH_PROFILE` each writes a profile of its processor time into that folder when it is
 * stopped.
 *
 * @throws Error when it ends before
 */
export async function startChild(
  file: string,
  env: Record<string, string>,
  ran?: Ran,
): Promise<Child> {
  const { PATH, HOME, LANG, TMPDIR } = process.env
  const child = fork(path.join(import.meta.dirname, file), [], {
    env: { PATH, HOME, LANG, TMPDIR, ...env },
    execArgv: profiling(),
  })
  const ended = once(child, 'exit')
  const ready = new Promise<boolean>((resolve) =>
    child.on('message', (told: Told) => {
      if ('ready' in told) return resolve(true)
      if (ran === undefined) return
      ran.count += told.count
      ran.delays.push(...told.delays)
    }),
  )
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)
  void ended.then(() => process.off('exit', kill))
  if (!(await Promise.race([ready, ended.then(() => false)])))
    throw new Error(`${file} ended at its start`)
  return { pid: child.pid!, stop: () => stopChild(child, ended) }
}

export const profiling = (): string[] => {
  const folder = process.env.EARSHOT_BENCH_PROFILE
  return folder === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${folder}`]
}

async function stopChild(child: ChildProcess, ended: Promise<unknown>): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
  await ended
}

/**
 * Processor time that a process used so far, user and system, in seconds; undefined where the
 * system does not say.
 */
export function processorSeconds(pid: number): number | undefined {
  try {
    // Past the program's name, which may hold anything.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ')
    return (Number(fields[11]) + Number(fields[12])) / 100
  } catch {
    return undefined
  }
}

/** What a process holds in memory now, in megabytes; undefined where the system does not say. */
export function residentMb(pid: number): number | undefined {
  try {
    return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024
  } catch {
    return undefined
  }
}
