import { trimEndOf } from '@earshot/contract'
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'

/**
 * This box's id: the one kept in EARSHOT_HOME, or a new one, the host name and four random
 * hexadecimal digits, since two boxes are often called the same (`raspberrypi`, `localhost`).
 *
 * @param keep whether a new one is written down; only what joins the mesh does, not every search
 */
export function nodeId(home: string, hostname: string, keep: boolean): string {
  const file = path.join(home, 'node-id')
  const kept = read(file)
  if (kept !== undefined) return kept
  const name = (hostname.toLowerCase().split('.')[0] ?? '')
    .replace(/[^a-z0-9-]+/g, '-')
    .replace(/^-+/, '')
  const id = `${trimEndOf(name, '-') || 'node'}-${randomBytes(2).toString('hex')}`
  if (!keep) return id
  mkdirSync(home, { recursive: true, mode: 0o700 })
  try {
    writeFileSync(file, `${id}\n`, { flag: 'wx' })
    return id
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  // Another process of this box drew one in the same moment: that one counts. Or the file is
  // spoilt, by a full disk say.
  const others = read(file)
  if (others === undefined) writeFileSync(file, `${id}\n`)
  return others ?? id
}

function read(file: string): string | undefined {
  try {
    const id = readFileSync(file, 'utf8').trim()
    return /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(id) ? id : undefined
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
