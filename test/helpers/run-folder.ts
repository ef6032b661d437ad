import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

const PREFIX = 'earshot-test-run-'
/**
 * For root the server runs as another user, who could not enter a temporary folder of root's own.
 */
const base = process.getuid?.() === 0 ? '/tmp' : tmpdir()

/** The folder of one test run: everything the run makes lies below it and goes with it. */
export async function createRunFolder(): Promise<string> {
  const folder = await mkdtemp(join(base, PREFIX))
  await chmod(folder, 0o711)
  await writeFile(join(folder, 'owner'), String(process.pid))
  return folder
}

/** The folders of runs that ended without clearing up. */
export async function staleRunFolders(): Promise<string[]> {
  const folders = (await readdir(base))
    .filter((name) => name.startsWith(PREFIX))
    .map((name) => join(base, name))
  const owners = await Promise.all(folders.map((folder) => readOwner(folder)))
  return folders.filter((_, index) => {
    const owner = owners[index]
    return owner !== undefined && !isAlive(owner)
  })
}

/**
 * Ends what a killed run left running: the processes whose arguments or environment name its
 * folder.
 */
export async function endStaleProcesses(folder: string): Promise<void> {
  for (const pid of await processesOf(folder)) await end(pid)
}

/** Removes the folder with everything in it, mounts included. */
export async function removeRunFolder(folder: string): Promise<void> {
  for (const mount of await mountsBelow(folder)) await promisify(execFile)('umount', ['-l', mount])
  await rm(folder, { recursive: true, force: true, maxRetries: 3 })
}

/**
 * Linux alone tells them: elsewhere nothing is mounted, and a run that was killed is ended by hand.
 */
async function processesOf(folder: string): Promise<number[]> {
  if (process.platform !== 'linux') return []
  const pids = (await readdir('/proc')).map(Number).filter((pid) => pid > 1 && pid !== process.pid)
  const named = await Promise.all(
    pids.map(async (pid) => {
      // One that ended meanwhile, or belongs to another user, is not this run's.
      const [args, env] = await Promise.all(
        ['cmdline', 'environ'].map((name) =>
          readFile(`/proc/${pid}/${name}`, 'utf8').catch(() => ''),
        ),
      )
      // A shell that someone moved there to look around stays.
      const settings = env!.split('\0').filter((one) => !/^(OLD)?PWD=/.test(one))
      return [args!, ...settings].some((text) => text.includes(folder))
    }),
  )
  return pids.filter((_, index) => named[index])
}

async function end(pid: number): Promise<void> {
  try {
    process.kill(pid, 'SIGKILL')
    // It is not our child, so nothing tells its end. A zombie that no one collects holds nothing.
    for (let looks = 0; looks < 100 && isAlive(pid); looks += 1) await sleep(20)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** The innermost first. */
async function mountsBelow(folder: string): Promise<string[]> {
  const lines = await readFile('/proc/self/mounts', 'utf8').catch(() => '')
  return lines
    .split('\n')
    .map((line) => (line.split(' ')[1] ?? '').replaceAll('\\040', ' '))
    .filter((mount) => mount.startsWith(`${folder}/`))
    .toReversed()
}

/** Undefined while the folder's owner is just writing it, or where it belongs to another user. */
async function readOwner(folder: string): Promise<number | undefined> {
  const file = join(folder, 'owner')
  if (!existsSync(file)) return undefined
  return Number(await readFile(file, 'utf8')) || undefined
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
