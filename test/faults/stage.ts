import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { migrate } from '@earshot/db/migrate'
import { type Database, openDatabase } from '@earshot/db/open'
import { type LocalCluster, type LocalServer, startCluster } from '../helpers/cluster.ts'
import { type SettableClock, createSettableClock } from '../helpers/clock.ts'
import { type Pooler, findPooler, startPooler } from '../helpers/pooler.ts'
import { type Proxy, openProxy } from '../helpers/proxy.ts'
import { installKind } from './kind.ts'

const MAIN = path.resolve(import.meta.dirname, '../../packages/cli/src/main.ts')
const WORKER = path.join(import.meta.dirname, 'worker.ts')
/** How often a process is started until it stays. */
const STARTS = 10

/** One process of the mesh, with a network of its own that can fail. */
export type Actor = {
  name: string
  /** Its EARSHOT_HOME, and where it runs. */
  home: string
  part: 'coordinator' | 'worker'
  proxy: Proxy
  child: ChildProcess | undefined
  /** Whether it is meant to work: alive, awake and reachable. */
  up: boolean
  start(): Promise<void>
  signal(signal: NodeJS.Signals): void
  kill(): Promise<void>
}

export type Stage = AsyncDisposable & {
  /** Straight to the server, past everything that is made to fail. */
  db: Database
  cluster: LocalCluster
  pooler: Pooler | undefined
  actors: Actor[]
  /** The network of anyone who submits jobs. */
  submitting: Proxy
  leaseS: number
  /** The nodes that may be charged with faults. */
  guilty: Set<string>
  /** Jobs whose rows a caller holds: no one can finish them, or take them back. */
  heldJobs: Set<number>
  /** Nodes whose rows a caller holds: they may be lost for as long. */
  heldNodes: Set<string>
  /** The server's clock, where it can be set. */
  clock: SettableClock | undefined
}

/**
 * `redis`: what they all hear through, where it is given; who goes through the pooler then has no
 * other way to the server.
 */
export type StageOptions = {
  server: LocalServer
  folder: string
  coordinators: number
  workers: number
  leaseS: number
  redis?: string
}

/**
 * A private server, a pooler where there is one, and the processes of a mesh, each behind a proxy
 * of its own.
 */
export async function setStage({
  server,
  folder,
  coordinators,
  workers,
  leaseS,
  redis,
}: StageOptions): Promise<Stage> {
  // A crash must lose nothing that was acknowledged; the machine itself does not crash, so nothing
  // need reach the disk.
  const clock = await createSettableClock(folder)
  const settings = { synchronous_commit: 'on', max_connections: '300' }
  const cluster = await startCluster(server, folder, settings, clock?.env)
  const db = await openDatabase({ url: cluster.url, home: folder })
  await migrate(db)
  await installKind(db.pool)
  await db.pool.query(
    `update earshot.settings set lease = make_interval(secs => $1), routable = make_interval(secs => $1)`,
    [leaseS],
  )
  const program = findPooler()
  const pooler =
    program === undefined
      ? undefined
      : await startPooler(program, server.runAs, folder, cluster.url)
  const submitting = await openProxy(cluster.url)
  const actors: Actor[] = []
  // Should this program be stopped half-way: what it started goes with it. The server that is left,
  // the next run removes.
  const killAll = () => actors.forEach(({ child }) => child?.kill('SIGKILL'))
  process.once('exit', killAll)
  const stage: Stage = {
    db,
    cluster,
    pooler,
    actors,
    submitting,
    leaseS,
    guilty: new Set(),
    heldJobs: new Set(),
    heldNodes: new Set(),
    clock,
    async [Symbol.asyncDispose]() {
      process.off('exit', killAll)
      for (const actor of actors) await actor.kill()
      for (const { proxy } of [...actors, { proxy: submitting }]) await proxy[Symbol.asyncDispose]()
      await db.close()
      await pooler?.[Symbol.asyncDispose]()
      await cluster.stop()
    },
  }
  try {
    for (let i = 1; i <= coordinators; i++)
      actors.push(await createActor(stage, folder, 'coordinator', i, redis))
    for (let i = 1; i <= workers; i++)
      actors.push(await createActor(stage, folder, 'worker', i, redis))
    // The first coordinator first: the others would only wait for each other.
    for (const part of ['coordinator', 'worker'])
      await Promise.all(actors.filter((actor) => actor.part === part).map((actor) => actor.start()))
  } catch (error) {
    await stage[Symbol.asyncDispose]()
    throw error
  }
  return stage
}

/**
 * Every third worker, and the second coordinator, go through the pooler, and listen past it;
 * workers lie in two zones.
 */
async function createActor(
  stage: Stage,
  folder: string,
  part: Actor['part'],
  place: number,
  redis: string | undefined,
): Promise<Actor> {
  const { cluster, pooler } = stage
  const name = `${part}-${place}`
  const pooled = pooler !== undefined && (part === 'worker' ? place % 3 === 0 : place === 2)
  const proxy = await openProxy(pooled ? pooler.url : cluster.url)
  const home = path.join(folder, name)
  await mkdir(home)
  const { PATH, HOME, LANG, TMPDIR } = process.env
  const env = {
    PATH,
    HOME,
    LANG,
    TMPDIR,
    DATABASE_URL: proxy.url,
    NODE_ID: name,
    EARSHOT_HOME: home,
    EARSHOT_INBOX: path.join(home, 'inbox'),
    EARSHOT_PORT: '0',
    EARSHOT_LOG_LEVEL: 'info',
    ...(redis !== undefined && { REDIS_URL: redis }),
    ...(pooled &&
      (redis === undefined || part === 'coordinator') && { DATABASE_DIRECT_URL: cluster.url }),
  }
  const args =
    part === 'worker'
      ? [WORKER, String(2 + (place % 3)), place % 2 === 0 ? 'even' : 'odd']
      : [MAIN, 'coordinator', '--json']
  async function startOnce(): Promise<boolean> {
    const before = part === 'worker' ? await incarnationOf(stage, name) : 0
    const log = openSync(path.join(folder, `${name}.log`), 'a')
    const child = spawn(process.execPath, args, { env, cwd: home, stdio: ['ignore', 'pipe', log] })
    closeSync(log)
    actor.child = child
    const there =
      part === 'worker'
        ? joined(stage, name, before, child)
        : once(createInterface({ input: child.stdout! }), 'line')
    await Promise.race([there, once(child, 'exit')])
    return isAlive(child)
  }
  const actor: Actor = {
    name,
    home,
    part,
    proxy,
    child: undefined,
    up: false,
    async start() {
      // The server may just be away for another fault: what starts programs on a machine tries
      // again then, and so does this.
      for (let tries = 1; !(await startOnce()); tries++) {
        if (tries === STARTS)
          throw new Error(`${name} ended ${tries} times at its start; see ${name}.log`)
        await sleep(500)
      }
      actor.up = true
    },
    signal: (signal) => void actor.child?.kill(signal),
    async kill() {
      actor.up = false
      const { child } = actor
      if (child === undefined || !isAlive(child)) return
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      await ended
    },
  }
  return actor
}

/** Whether a process has not ended; a frozen one has not. */
export const isAlive = (child: ChildProcess): boolean =>
  child.exitCode === null && child.signalCode === null

/**
 * A worker says nothing on standard output: it is there when the mesh knows of a newer incarnation
 * than before.
 */
async function joined(
  stage: Stage,
  name: string,
  before: number,
  child: ChildProcess,
): Promise<void> {
  while (isAlive(child) && (await incarnationOf(stage, name)) <= before) await sleep(50)
}

async function incarnationOf({ db }: Stage, name: string): Promise<number> {
  for (;;) {
    try {
      const { rows } = await db.pool.query<{ incarnation: number }>(
        'select incarnation from earshot.nodes where id = $1',
        [name],
      )
      return rows[0]?.incarnation ?? 0
    } catch {
      await sleep(100) // the server is just being restarted
    }
  }
}
