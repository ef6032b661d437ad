import { existsSync } from 'node:fs'
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const PREFIX = 'earshot-test-run-'
/** For root the server runs as another user, who could not enter a temporary folder of root's own. */
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

export async function removeRunFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true, maxRetries: 3 })
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
