import { appendFile, cp, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { migrate } from '@earshot/db/migrate'
import { SQL_FOLDER } from '@earshot/db/sql-files'
import type pg from 'pg'
import { type Fault, type Strike, beyondLease, onLeader, onWorker } from './strike.ts'
import { KIND } from './kind.ts'
import type { Stage } from './stage.ts'

/**
 * What goes wrong at the database itself: callers that hold rows, schema updates, a clock that is
 * set.
 */
export const DATABASE_FAULTS: Fault[] = [
  {
    sort: "a node's row held by a caller while another dies",
    weight: 2,
    asked: true,
    strike: (stage, random) => holdNode(stage, random),
  },
  {
    sort: 'an idempotency key held by a caller',
    weight: 2,
    strike: (stage) => holdJob(stage, repeatKey),
  },
  {
    sort: 'a running parent held by a caller',
    weight: 2,
    strike: (stage) => holdJob(stage, addChild),
  },
  { sort: 'schema updated under load', weight: 2, strike: updateSchema },
  { sort: 'clock set 20 s ahead', weight: 1, strike: (stage) => setClock(stage, 20) },
  { sort: 'clock set an hour back', weight: 1, strike: (stage) => setClock(stage, -3600) },
  {
    sort: 'clock set an hour back as the leader dies',
    weight: 1,
    strike: async (stage, random) =>
      stage.clock &&
      onLeader(async (actor) => {
        await actor.kill()
        const { lift } = await setClockBy(stage, -3600)
        return { lift: async () => (await lift(), await actor.start()) }
      })(stage, random),
  },
]

/** A transaction of someone's own that stays open. */
async function hold(
  stage: Stage,
  work: (client: pg.PoolClient) => Promise<unknown>,
): Promise<{ leastMs: number; lift: () => Promise<void> }> {
  const client = await stage.db.pool.connect()
  // Its connection may be lost to another fault, and its locks with it.
  const lift = () =>
    client.query('rollback').then(
      () => client.release(),
      () => client.release(true),
    )
  try {
    await client.query("begin; set local lock_timeout = '1s'")
    await work(client)
  } catch (error) {
    client.release(true)
    throw error
  }
  return { leastMs: beyondLease(stage), lift }
}

/** The node itself may be lost by it; what another one had in hand goes back all the same. */
const holdNode: Fault['strike'] = onWorker(async (dead, _, stage) => {
  const held = stage.actors.find((one) => one.part === 'worker' && one.up && one !== dead)
  if (held === undefined) return
  const { lift, leastMs } = await hold(stage, (client) =>
    client.query('select from earshot.node_registry where id = $1 for update', [held.name]),
  )
  stage.heldNodes.add(held.name)
  // Not before the lease of the held one has ended as well: the sweep meets its row then.
  await sleep(leastMs)
  await dead.kill()
  return {
    leastMs,
    async lift() {
      await lift()
      stage.heldNodes.delete(held.name)
      await dead.start()
    },
  }
})

type Held = { id: number; payload: object; key: string }

/** The longest job that is in a node's hands. */
async function holdJob(
  stage: Stage,
  work: (client: pg.PoolClient, job: Held) => Promise<unknown>,
): Promise<Strike | undefined> {
  for (let tries = 0; tries < 30; tries++) {
    const { rows } = await stage.db.pool.query<Held>(
      `select id, payload, idempotency_key as key from earshot.jobs
       where kind = $1 and status in ('assigned', 'running') and idempotency_key is not null
       order by (payload ->> 'ms')::int desc limit 1`,
      [KIND],
    )
    const [job] = rows
    if (job !== undefined) {
      const { lift, leastMs } = await hold(stage, (client) => work(client, job))
      stage.heldJobs.add(job.id)
      return {
        about: `job ${job.id}`,
        leastMs,
        lift: async () => (await lift(), void stage.heldJobs.delete(job.id)),
      }
    }
    await sleep(100)
  }
  return undefined
}

const submit = (client: pg.PoolClient, job: object) =>
  client.query('select from earshot.submit_jobs($1)', [JSON.stringify([job])])

const repeatKey = (client: pg.PoolClient, { payload, key }: Held) =>
  submit(client, { kind: KIND, payload, idempotency_key: key })

const addChild = (client: pg.PoolClient, { id }: Held) =>
  submit(client, { kind: KIND, payload: { ms: 0 }, after: [id] })

/** Called all the time by everyone. */
const HOT = ['finish_jobs', 'heartbeat', 'take_assignments', 'start_jobs', 'submit_jobs']
const UPDATE = `
  alter table earshot.jobs add column chaos int;
  alter table earshot.jobs drop column chaos;
  do $$ declare v_function regprocedure; begin
    for v_function in select oid::regprocedure from pg_proc
      where pronamespace = 'earshot'::regnamespace and proname = any ('{${HOT.join(',')}}')
    loop execute 'drop function ' || v_function; end loop;
  end $$;`

/**
 * A migration that drops functions, and all functions again, as an update of Earshot brings them.
 */
async function updateSchema({ db }: Stage): Promise<Strike> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'earshot chaos '))
  try {
    await cp(SQL_FOLDER, folder, { recursive: true })
    const version = (await readdir(path.join(folder, 'migrations'))).length + 1
    const name = `migrations/${String(version).padStart(4, '0')}_chaos.sql`
    await writeFile(path.join(folder, name), UPDATE)
    const files = await readdir(path.join(folder, 'functions'))
    for (const file of files)
      await appendFile(path.join(folder, 'functions', file), `-- ${Date.now()}\n`)
    // Anyone who starts again is of the version before, and would refuse a newer schema.
    await writeFile(
      path.join(folder, 'functions/zz_chaos.sql'),
      `delete from earshot.migrations where version = ${version}; -- ${Date.now()}`,
    )
    const { functions } = await migrate(db, { folder })
    return { about: `${functions.length} functions` }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function setClockBy(
  { clock }: Stage,
  aheadS: number,
): Promise<{ lift: () => Promise<void> }> {
  await clock!.set(aheadS)
  return { lift: () => clock!.set(0) }
}

async function setClock(stage: Stage, aheadS: number): Promise<Strike | undefined> {
  if (stage.clock === undefined) return undefined
  return { about: 'server', ...(await setClockBy(stage, aheadS)) }
}
