import path from 'node:path'
import { randomBytes } from 'node:crypto'
import type { Client } from '@earshot/sdk'
import pg from 'pg'
import { clientOf, type MeshProcess, startProcess } from '../helpers/mesh.ts'
import type { Bench } from './figures.ts'

export type BenchMesh = { client: Client; inbox: string; stop(): Promise<void> }

/** One process on the embedded database; on a server a coordinator and a worker, two processes. */
export async function startMesh(
  { database, folder, say }: Bench,
  serverUrl: string,
): Promise<BenchMesh> {
  say(`starting a mesh (${database})`)
  const inbox = path.join(folder, 'inbox')
  const base = {
    EARSHOT_HOME: path.join(folder, 'home'),
    EARSHOT_INBOX: inbox,
    EARSHOT_PORT: '0',
    EARSHOT_LOG_LEVEL: 'warn',
  }
  const processes: MeshProcess[] = []
  const stop = async () => {
    for (const one of processes.toReversed()) await one.stop()
  }
  try {
    if (database === 'embedded') {
      processes.push(await startProcess('up', base))
    } else {
      const settings = { ...base, DATABASE_URL: await freshDatabase(serverUrl) }
      processes.push(await startProcess('coordinator', { ...settings, NODE_ID: 'desk' }))
      processes.push(await startProcess('worker', { ...settings, NODE_ID: 'box' }))
    }
  } catch (error) {
    await stop()
    throw error
  }
  return { client: clientOf(processes[0]!), inbox, stop }
}

export async function freshDatabase(serverUrl: string): Promise<string> {
  const name = `bench_${randomBytes(4).toString('hex')}`
  const admin = new pg.Client({ connectionString: serverUrl })
  await admin.connect()
  await admin.query(`create database ${name}`)
  await admin.end()
  const url = new URL(serverUrl)
  url.pathname = `/${name}`
  return url.href
}
