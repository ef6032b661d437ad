import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { registerKinds } from '@earshot/db/functions/kinds'
import { submitJobs } from '@earshot/db/functions/jobs'
import { migrate } from '@earshot/db/migrate'
import { type Database, openDatabase } from '@earshot/db/open'
import pg from 'pg'
import { type MeshProcess, startProcess } from '../../helpers/mesh.ts'
import { type Client, type Contender, createRan } from './contender.ts'
import { WORKERS, noop } from './kind.ts'
import { type Child, startChild } from './processes.ts'

export type Mesh = Contender & {
  db: Database
  url: string
  coordinator: MeshProcess
  workers: Child[]
}
/** `url`: a database that is the mesh's alone; `redis`: the mesh hears through it. */
export type MeshPlace = { url: string; folder: string; redis?: string; workers?: number }

/**
 * A coordinator and two workers, each a process of its own, with everything on: leases, events,
 * tenants, parents.
 */
export async function startMesh({
  url,
  folder,
  redis,
  workers: count = WORKERS,
}: MeshPlace): Promise<Mesh> {
  const db = await openDatabase({ url, home: folder })
  await migrate(db)
  await registerKinds(db.pool, [noop.registration])
  const ran = createRan()
  const settings = (name: string) => ({
    DATABASE_URL: url,
    NODE_ID: name,
    EARSHOT_HOME: path.join(folder, name),
    EARSHOT_INBOX: path.join(folder, name, 'inbox'),
    EARSHOT_PORT: '0',
    EARSHOT_LOG_LEVEL: 'warn',
    ...(redis && { REDIS_URL: redis }),
  })
  const coordinator = await startProcess('coordinator', {
    ...settings('coordinator'),
    ...(process.env.EARSHOT_BENCH_PROFILE && {
      NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${process.env.EARSHOT_BENCH_PROFILE}`,
    }),
  })
  const workers: Child[] = []
  for (let i = 1; i <= count; i++)
    workers.push(await startChild('earshot-worker.ts', settings(`worker-${i}`), ran))
  await joined(db, count, redis !== undefined)
  return {
    name: redis === undefined ? 'earshot' : 'earshot, Redis',
    db,
    url,
    coordinator,
    workers,
    ran,
    pids: [coordinator.child.pid!, ...workers.map(({ pid }) => pid)],
    async addMany(jobs) {
      await submitJobs(
        db.pool,
        Array.from({ length: jobs }, () => ({ kind: noop.kind, payload: {} })),
      )
    },
    connect: () => connectSql(url, 'select earshot.submit_job($1, $2::jsonb)', noop.kind),
    async isOpen() {
      const { rows } = await db.pool.query<{ open: boolean }>({
        name: 'is_open',
        text: `select exists (select from earshot.jobs where status in ('assigned', 'running'))
          or exists (select from earshot.jobs where status = 'pending' and due) as open`,
      })
      return rows[0]!.open
    },
    async stop() {
      for (const child of [...workers, coordinator]) await child.stop()
      await db.close()
    },
  }
}

async function joined(db: Database, count: number, byRedis: boolean): Promise<void> {
  for (;;) {
    const { rows } = await db.pool.query<{ up: number }>(
      `select count(*)::int as up from earshot.nodes where status = 'online' and hears = $1`,
      [byRedis ? 'redis' : 'notify'],
    )
    if (rows[0]!.up >= count) return
    await sleep(50)
  }
}

/** A connection that enqueues with one prepared statement, each time a transaction. */
export async function connectSql(url: string, text: string, kind: string): Promise<Client> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  return {
    add: async (payload) =>
      void (await client.query({ name: 'add', text, values: [kind, JSON.stringify(payload)] })),
    close: () => client.end(),
  }
}
