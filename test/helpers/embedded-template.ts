import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { cp, mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const KEPT = join(ROOT, 'node_modules', '.earshot-test')
/** All that the content of a fresh embedded database follows from. */
const SOURCES = ['sql', 'packages/db/src', 'pnpm-lock.yaml']

/**
 * A home with a migrated embedded database, made by `make` and kept between runs: to create one
 * takes seconds, and it changes only with the files it follows from.
 *
 * @param folder of this run, where the home is made before it is moved to its place
 */
export async function embeddedTemplate(
  folder: string,
  make: (home: string) => Promise<void>,
): Promise<string> {
  const place = join(KEPT, `embedded-${await fingerprint()}`)
  if (existsSync(place)) return place
  const made = join(folder, 'embedded-template')
  await make(made)
  await mkdir(KEPT, { recursive: true })
  // Beside first: the temporary folder may lie on another disk, from which nothing can be renamed.
  const beside = `${place}.${process.pid}`
  await cp(made, beside, { recursive: true })
  await rename(beside, place).catch(async (error: NodeJS.ErrnoException) => {
    // Another run was faster, with the same content.
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
    await rm(beside, { recursive: true, force: true })
  })
  await forgetOthers(place)
  return made
}

async function fingerprint(): Promise<string> {
  const hash = createHash('sha256')
  for (const source of SOURCES) {
    for (const file of await filesBelow(join(ROOT, source))) {
      hash.update(`${file.slice(ROOT.length)}\0`)
      hash.update(await readFile(file))
    }
  }
  return hash.digest('hex').slice(0, 16)
}

async function filesBelow(path: string): Promise<string[]> {
  if (/\.\w+$/.test(path)) return [path]
  const entries = await readdir(path, { withFileTypes: true, recursive: true })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
}

/** Each is some 40 MB. Those of the last hour stay: another run may be copying from one. */
async function forgetOthers(place: string): Promise<void> {
  for (const name of await readdir(dirname(place))) {
    const other = join(dirname(place), name)
    const { mtimeMs } = await stat(other)
    if (Date.now() - mtimeMs > 3_600_000) await rm(other, { recursive: true, force: true })
  }
}
