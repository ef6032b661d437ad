import { trimEndOf } from '@earshot/contract'
import { execFile, type ChildProcess } from 'node:child_process'
import { constants } from 'node:fs'
import { access, statfs } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'

/**
 * `process.platform` in the words of the tags: the seeds and people say windows and macos, not
 * win32 and darwin.
 */
export function platformName(platform: NodeJS.Platform = process.platform): string {
  return platform === 'win32' ? 'windows' : platform === 'darwin' ? 'macos' : platform
}

export type Gpu = {
  name: string
  /**
   * In MiB; null where the driver does not say, as on boxes whose GPU shares the system's memory.
   */
  memoryMb: number | null
  freeMb: number | null
}
export type Tags = Record<string, string | number | boolean>
export type Hardware = {
  tags: Tags
  gpus: Gpu[]
  /** Why an installed nvidia-smi gave no answer. */ problem: string | null
}

/**
 * Finds out what this machine is: `platform`, `arch`, `cores`, `memory_gb`, and where nvidia-smi
 * answers `gpu` (a short name such as `nvidia-3060`), `gpu_name`, `vram_gb` and `gpus` (how many).
 * With several GPUs the tags tell of the largest.
 *
 * @example
 * (await findHardware()).tags   // { platform: 'linux', arch: 'x64', cores: 8, memory_gb: 32, gpu: 'nvidia-3060', … }
 */
export async function findHardware(
  options: { env?: NodeJS.ProcessEnv; signal?: AbortSignal } = {},
): Promise<Hardware> {
  const { gpus, problem } = await askNvidia(options)
  const tags: Tags = {
    platform: platformName(),
    arch: process.arch,
    cores: os.availableParallelism(),
    memory_gb: memoryGb(),
  }
  const largest = [...gpus].sort((a, b) => (b.memoryMb ?? 0) - (a.memoryMb ?? 0))[0]
  if (largest !== undefined) {
    tags.gpu = gpuTag(largest.name)
    tags.gpu_name = largest.name
    tags.gpus = gpus.length
    if (largest.memoryMb !== null) tags.vram_gb = Math.round(largest.memoryMb / 1024)
  }
  return { tags, gpus, problem }
}

function memoryGb(): number {
  // In a container the limit counts, not the machine; 0 and huge numbers mean that there is none.
  const limit = process.constrainedMemory()
  const bytes = limit > 0 && limit < os.totalmem() ? limit : os.totalmem()
  return Math.max(1, Math.round(bytes / 2 ** 30))
}

/**
 * Short, comparable name of a GPU: the maker and the model, without the brand words that say
 * nothing.
 *
 * @example
 * gpuTag('NVIDIA GeForce RTX 3060 Ti')   // 'nvidia-3060-ti'
 */
export function gpuTag(name: string): string {
  const words = name
    .toLowerCase()
    .replace(/\bgeforce (rtx|gtx) /, '')
    .replace(/\b(nvidia|geforce|tesla|gpu)\b/g, ' ')
  return trimEndOf(`nvidia-${words.trim().replace(/[^a-z0-9]+/g, '-')}`, '-')
}

const NVIDIA_QUERY = ['--query-gpu=name,memory.total,memory.free', '--format=csv,noheader,nounits']
// nvidia-smi hangs rather than fails when a driver is wedged; a worker must start all the same.
const NVIDIA_TIMEOUT_MS = 10_000

function askNvidia({
  env,
  signal,
}: {
  env?: NodeJS.ProcessEnv
  signal?: AbortSignal
}): Promise<{ gpus: Gpu[]; problem: string | null }> {
  return new Promise((resolve) => {
    execFile(
      'nvidia-smi',
      NVIDIA_QUERY,
      { env, signal, timeout: NVIDIA_TIMEOUT_MS, windowsHide: true },
      (error, stdout) => {
        if (error === null) return resolve({ gpus: parseNvidiaCsv(stdout), problem: null })
        if (error.code === 'ENOENT') return resolve({ gpus: [], problem: null })
        const said =
          stdout.trim().split('\n')[0] || (error.killed ? 'no answer within 10 s' : error.message)
        resolve({ gpus: [], problem: `nvidia-smi failed: ${said}` })
      },
    )
  })
}

/**
 * Reads the answer of `nvidia-smi --query-gpu=name,memory.total,memory.free
 * --format=csv,noheader,nounits`: a line a GPU, memory in MiB, `[N/A]` where the driver does not
 * know. A header line and units, as without the two options, do no harm.
 */
export function parseNvidiaCsv(csv: string): Gpu[] {
  return csv.split(/\r?\n/).flatMap((line) => {
    const fields = line.split(',').map((field) => field.trim())
    // From the end, should a name ever hold a comma.
    const [total, free] = fields.slice(-2)
    const name = fields.slice(0, -2).join(', ')
    if (name === '' || name === 'name' || total === undefined || free === undefined) return []
    return [{ name, memoryMb: mebibytes(total), freeMb: mebibytes(free) }]
  })
}

function mebibytes(field: string): number | null {
  const number = /^(\d+)(?: MiB)?$/.exec(field)?.[1]
  return number === undefined ? null : Number(number)
}

/**
 * The signals that ask this process to stop. Windows has no SIGTERM to catch: Ctrl-C, Ctrl-Break
 * and a closed window. Elsewhere SIGHUP is left alone, since hearing it would undo nohup.
 */
export function stopSignals(platform: NodeJS.Platform = process.platform): NodeJS.Signals[] {
  return platform === 'win32' ? ['SIGINT', 'SIGBREAK', 'SIGHUP'] : ['SIGINT', 'SIGTERM']
}

/** Spawn options that make a child killable with everything it starts; see {@link killTree}. */
export function treeOptions(): { detached: boolean; windowsHide: true } {
  // On Windows `detached` opens a console window and taskkill finds the tree without it.
  return { detached: process.platform !== 'win32', windowsHide: true }
}

/**
 * Ends a child that was spawned with {@link treeOptions}, and everything it started. `SIGTERM`
 * asks, `SIGKILL` does not; Windows knows only the latter. A child that has already ended is no
 * error.
 */
export function killTree(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL' = 'SIGKILL'): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  if (process.platform === 'win32') {
    execFile(
      'taskkill',
      ['/pid', String(child.pid), '/t', '/f'],
      { windowsHide: true },
      (error) => {
        if (error !== null) child.kill()
      },
    )
    return
  }
  try {
    process.kill(-child.pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/**
 * Where a program is, or null. `searchPath` is the PATH to look through, as the composition root
 * read it.
 *
 * @example
 * await which('ffmpeg', '/usr/local/bin:/usr/bin')   // '/usr/bin/ffmpeg'
 */
export async function which(program: string, searchPath: string): Promise<string | null> {
  const endings = process.platform === 'win32' ? ['.exe', '.cmd', '.bat', ''] : ['']
  for (const folder of searchPath.split(path.delimiter).filter((part) => part !== '')) {
    for (const ending of endings) {
      const file = path.join(folder, program + ending)
      if (await isExecutable(file)) return file
    }
  }
  return null
}

async function isExecutable(file: string): Promise<boolean> {
  return access(file, constants.X_OK).then(
    () => true,
    () => false,
  )
}

export type Limits = {
  /** Seconds of processor time. */
  cpuS?: number
  /** Address space in MiB. */
  memoryMb?: number
  /** Size of any file it writes, in bytes. */
  fileBytes?: number
}

/**
 * The call of a program under limits of the operating system. They exist on Linux, through prlimit
 * (util-linux); elsewhere the call comes back as it was, and the watchdog has to do.
 *
 * @example
 * await limited('ffmpeg', ['-version'], { cpuS: 10 })   // { program: '/usr/bin/prlimit', args: ['--cpu=10', '--', 'ffmpeg', '-version'] }
 */
export async function limited(
  program: string,
  args: readonly string[],
  limits: Limits,
): Promise<{ program: string; args: string[] }> {
  const prlimit = process.platform === 'linux' ? await which('prlimit', '/usr/bin:/bin') : null
  const { cpuS, memoryMb, fileBytes } = limits
  const set = [
    ...(cpuS === undefined ? [] : [`--cpu=${Math.ceil(cpuS)}`]),
    ...(memoryMb === undefined ? [] : [`--as=${Math.ceil(memoryMb) * 2 ** 20}`]),
    ...(fileBytes === undefined ? [] : [`--fsize=${Math.ceil(fileBytes)}`]),
  ]
  if (prlimit === null || set.length === 0) return { program, args: [...args] }
  return { program: prlimit, args: [...set, '--', program, ...args] }
}

/** Bytes that this user may still write where `folder` is. */
export async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
}

/**
 * Whether this process may install system packages without asking for a password. Windows: always
 * false.
 */
export function isRoot(): boolean {
  return process.geteuid?.() === 0
}
