import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import pg from 'pg'
import { startCluster } from '../../helpers/cluster.ts'
import { findServer } from '../../helpers/postgres.ts'
import { startRedis } from '../../helpers/redis.ts'
import { createRunFolder, removeRunFolder } from '../../helpers/run-folder.ts'
import { startBullmq } from './bullmq.ts'
import type { Contender } from './contender.ts'
import { type Mesh, startMesh } from './earshot.ts'
import { startGraphile } from './graphile.ts'

/**
 * One server for all who keep their jobs in PostgreSQL: what was acknowledged is on disk, at
 * enqueueing as at completion.
 */
const DURABLE = {
  synchronous_commit: 'on',
  fsync: 'on',
  full_page_writes: 'on',
  shared_buffers: '512MB',
  max_wal_size: '4GB',
  checkpoint_timeout: '15min',
  max_connections: '400',
}

/**
 * It counts nothing, but where it is switched on: with EARSHOT_BENCH_PROFILE, what statements cost
 * is written into that folder too.
 */
const COUNTING = {
  shared_preload_libraries: 'pg_stat_statements',
  'pg_stat_statements.track': 'none',
  'pg_stat_statements.max': '5000',
}
const PROFILED = { 'pg_stat_statements.track': 'all' }
const profile = process.env.EARSHOT_BENCH_PROFILE

type Cast = {
  notify: Mesh
  redis: Mesh
  graphile: Contender
  graphileDefault: Contender
  bullmq: Contender
}
export type Name = keyof Cast

/**
 * The servers, private and gone afterwards, and anyone who takes part, started when first asked
 * for.
 */
export type Stage = AsyncDisposable & {
  folder: string
  version: string
  get<N extends Name>(name: N): Promise<Cast[N]>
  /** Ends anyone who takes part, so that they do not disturb what comes. */
  clear(): Promise<void>
  /** An empty database of its own. `counted`: its statements are counted in pg_stat_statements. */
  database(name: string, counted?: boolean): Promise<string>
  redisUrl(): Promise<string>
}

export async function setStage(say: (line: string) => void): Promise<Stage> {
  const server = await findServer()
  if (server.kind !== 'local')
    throw new Error('This needs the programs of a PostgreSQL server on this machine. Run: npm test')
  const folder = await createRunFolder()
  say(`a private PostgreSQL ${server.version}`)
  const cluster = await startCluster(server, folder, {
    ...DURABLE,
    ...COUNTING,
    ...(profile !== undefined && PROFILED),
  })
  const redis: { current?: Awaited<ReturnType<typeof startRedis>> } = {}
  const cast = new Map<Name, Promise<Contender>>()

  async function database(name: string, counted = false): Promise<string> {
    const admin = new pg.Client({ connectionString: cluster.url })
    await admin.connect()
    const unique = `${name}_${randomBytes(3).toString('hex')}`
    await admin.query(`create database ${unique}`)
    if (counted) await admin.query(`alter database ${unique} set pg_stat_statements.track = 'top'`)
    await admin.end()
    const url = new URL(cluster.url)
    url.pathname = `/${unique}`
    return url.href
  }
  async function redisUrl(): Promise<string> {
    redis.current ??= await startRedis([], folder)
    return redis.current.url
  }
  async function home(name: string): Promise<string> {
    const place = path.join(folder, `${name}-${randomBytes(3).toString('hex')}`)
    await mkdir(place)
    return place
  }
  const start: { [N in Name]: () => Promise<Cast[N]> } = {
    notify: async () => startMesh({ url: await database('notify'), folder: await home('notify') }),
    redis: async () =>
      startMesh({
        url: await database('redis'),
        folder: await home('redis'),
        redis: await redisUrl(),
      }),
    graphile: async () => startGraphile(await database('graphile'), { defaults: false }),
    graphileDefault: async () =>
      startGraphile(await database('graphile_default'), { defaults: true }),
    bullmq: async () => startBullmq(await redisUrl()),
  }
  async function clear(): Promise<void> {
    for (const one of cast.values()) await (await one).stop()
    cast.clear()
  }
  return {
    folder,
    database,
    redisUrl,
    clear,
    version: `PostgreSQL ${server.version}`,
    get(name) {
      if (!cast.has(name)) {
        say(`starting ${name}`)
        cast.set(name, start[name]())
      }
      return cast.get(name) as ReturnType<(typeof start)[typeof name]>
    },
    async [Symbol.asyncDispose]() {
      await clear()
      if (profile !== undefined) await writeStatements(cluster.url, profile)
      await redis.current?.[Symbol.asyncDispose]()
      await cluster.stop()
      await removeRunFolder(folder)
    },
  }
}

/** The dearest statements of all databases, those inside functions included. */
async function writeStatements(url: string, into: string): Promise<void> {
  const admin = new pg.Client({ connectionString: url })
  await admin.connect()
  await admin.query('create extension if not exists pg_stat_statements')
  const { rows } = await admin.query<Record<string, string>>(`
    select d.datname, s.toplevel, s.calls, round(s.total_exec_time) as ms, round(s.mean_exec_time::numeric, 3) as mean_ms, s.rows,
      regexp_replace(left(s.query, 200), '\\s+', ' ', 'g') as query
    from pg_stat_statements s join pg_database d on d.oid = s.dbid order by s.total_exec_time desc limit 150`)
  await admin.end()
  await writeFile(
    path.join(into, 'statements.tsv'),
    rows.map((row) => Object.values(row).join('\t')).join('\n'),
  )
}
