/**
 * The worker thread in which PGlite runs, so that its work (WebAssembly, synchronous) never stops
 * the event loop. Takes `{ id, bytes }`, answers `{ id, bytes }`; `{ close: true }` closes the
 * database and ends the thread.
 */
import { existsSync } from 'node:fs'
import { readdir, rename, rm, rmdir } from 'node:fs/promises'
import path from 'node:path'
import { parentPort, workerData } from 'node:worker_threads'
import { PGlite } from '@electric-sql/pglite'
import { vector } from '@electric-sql/pglite-pgvector'
import { SESSION } from '../session.ts'
import { startup } from './messages.ts'

export type ToEngine = { id: number; bytes: Uint8Array } | { close: true }
export type FromEngine = { id: number; bytes: Uint8Array } | { greeting: Uint8Array }

const port = parentPort
if (port === null) throw new Error('The engine runs in a worker thread.')
const { directory } = workerData as { directory: string }

const open = (dataDir: string) => PGlite.create({ dataDir, extensions: { vector } })

/**
 * Killed during its first creation, PGlite can leave a directory that never opens: create beside,
 * then rename.
 */
async function create(): Promise<void> {
  const home = path.dirname(directory)
  const beside = `${path.basename(directory)}.creating`
  for (const name of await readdir(home)) {
    if (name.startsWith(beside)) await rm(path.join(home, name), { recursive: true, force: true })
  }
  const made = path.join(home, `${beside}-${process.pid}`)
  try {
    // Someone may have made the folder by hand. One that holds anything is left alone: this fails.
    if (existsSync(directory)) await rmdir(directory)
    const engine = await open(made)
    await engine.close()
    await rename(made, directory)
  } catch (error) {
    await rm(made, { recursive: true, force: true })
    throw error
  }
}

if (!existsSync(path.join(directory, 'PG_VERSION'))) await create()
const engine = await open(directory)

/**
 * Only the streaming call: the others keep every reply of the engine's life in memory.
 * Nothing is synced after it, since PGlite's file system for Node has nothing to sync.
 */
async function run(bytes: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = []
  await engine.execProtocolRawStream(bytes, {
    syncToFs: false,
    onRawData: (data) => void parts.push(data.slice()),
  })
  const [only] = parts
  return only !== undefined && parts.length === 1 ? (only as Uint8Array<ArrayBuffer>) : join(parts)
}

function join(parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

const greeting = await run(
  startup({ user: 'postgres', database: 'postgres', application_name: 'earshot' }),
)
// Its start-up takes no settings, and the database or its role may have been given others.
for (const [name, value] of Object.entries(SESSION)) await engine.exec(`set ${name} = '${value}'`)
port.postMessage({ greeting } satisfies FromEngine)

let turn: Promise<void> = Promise.resolve()
port.on('message', (asked: ToEngine) => {
  // A failure in here ends the thread: after one the engine's memory cannot be trusted.
  turn = turn.then(async () => {
    if ('close' in asked) {
      await engine.close()
      port.close()
      return
    }
    const bytes = await run(asked.bytes)
    port.postMessage({ id: asked.id, bytes } satisfies FromEngine, [bytes.buffer])
  })
})
