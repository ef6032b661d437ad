import { rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { finishJobs } from '@earshot/db/functions/jobs'
import { heartbeat } from '@earshot/db/functions/nodes'
import { KIND, NO_ENGINE } from './kind.ts'
import { DATABASE_FAULTS } from './database-faults.ts'
import type { Random } from './random.ts'
import type { Actor, Stage } from './stage.ts'
import { type Fault, type Strike, beyondLease, onAnyone, onLeader, onWorker } from './strike.ts'

/** Everything that may go wrong, as it does on real machines. */
export const FAULTS: Fault[] = [
  {
    sort: 'worker killed, started again at once',
    weight: 3,
    strike: onWorker(async (actor) => {
      await actor.kill()
      const settle = actor.start()
      settle.catch(() => {}) // whoever waits for the healing hears of it
      return { settle }
    }),
  },
  {
    sort: 'worker killed, gone for a while',
    weight: 2,
    strike: onWorker(async (actor) => {
      await actor.kill()
      return { lift: () => actor.start() }
    }),
  },
  {
    sort: 'worker frozen beyond its lease',
    weight: 2,
    strike: onWorker(async (actor, _, stage) => ({
      ...freeze(actor),
      leastMs: beyondLease(stage),
    })),
  },
  {
    sort: 'worker whose engine is missing',
    weight: 1,
    strike: onWorker((actor, _, stage) => takeEngine(actor, stage)),
  },
  {
    sort: 'worker frozen for a moment',
    weight: 1,
    strike: onWorker((actor, random) => freezeBriefly(actor, random)),
  },
  {
    sort: 'worker cut off beyond its lease',
    weight: 2,
    strike: onWorker(async (actor, _, stage) => ({
      ...cutOff(actor),
      leastMs: beyondLease(stage),
    })),
  },
  {
    sort: 'leader killed',
    weight: 2,
    strike: onLeader(async (actor) => {
      await actor.kill()
      return { lift: () => actor.start() }
    }),
  },
  { sort: 'leader frozen', weight: 2, strike: onLeader(async (actor) => freeze(actor)) },
  { sort: 'leader cut off', weight: 2, strike: onLeader(async (actor) => cutOff(actor)) },
  { sort: 'connections cut', weight: 2, strike: onAnyone(async (actor) => actor.proxy.cut()) },
  {
    sort: 'connections dead without a word',
    weight: 2,
    strike: onAnyone(async (actor) => actor.proxy.deaden()),
  },
  { sort: 'sessions ended by the server', weight: 2, strike: endSessions },
  {
    sort: 'PostgreSQL restarted',
    weight: 1,
    strike: async ({ cluster }) => (await cluster.restart('fast'), { about: 'server' }),
  },
  {
    sort: 'PostgreSQL crashed',
    weight: 1,
    strike: async ({ cluster }) => (await cluster.restart('crash'), { about: 'server' }),
  },
  {
    sort: 'answer of a finish lost',
    weight: 3,
    strike: onWorker((actor) => loseAnswer(actor, 'finish_jobs')),
  },
  {
    sort: 'answer of an assignment lost',
    weight: 1,
    strike: onWorker((actor) => loseAnswer(actor, 'take_assignments')),
  },
  {
    sort: 'answer of the routing lost',
    weight: 2,
    strike: onLeader((actor) => loseAnswer(actor, 'route_jobs')),
  },
  {
    sort: 'answer of a submission lost',
    weight: 2,
    strike: async ({ submitting }) => (
      await orSoon(submitting.loseAnswer('submit_jobs')),
      { about: 'submitter' }
    ),
  },
  { sort: 'notifications dropped', weight: 2, strike: muffle },
  { sort: 'messages late, twice, false and of old incarnations', weight: 3, strike: replay },
  {
    sort: 'pooler killed',
    weight: 1,
    strike: async ({ pooler }) => pooler && (await pooler.restart(), { about: 'pooler' }),
  },
  ...DATABASE_FAULTS,
]

function freeze(actor: Actor): Pick<Strike, 'lift'> {
  actor.up = false
  actor.signal('SIGSTOP')
  return { lift: () => (actor.signal('SIGCONT'), void (actor.up = true)) }
}

/** Its own fault, whatever it is given: the only sort for which a node may be charged. */
async function takeEngine(
  actor: Actor,
  { guilty }: Stage,
): Promise<Pick<Strike, 'lift' | 'leastMs'>> {
  guilty.add(actor.name)
  const sign = path.join(actor.home, NO_ENGINE)
  await writeFile(sign, '')
  return { lift: () => rm(sign), leastMs: 2000 }
}

async function freezeBriefly(actor: Actor, random: Random): Promise<void> {
  actor.signal('SIGSTOP')
  await sleep(random.whole(200, 1500))
  actor.signal('SIGCONT')
}

function cutOff(actor: Actor): Pick<Strike, 'lift'> {
  actor.up = false
  actor.proxy.stall()
  return { lift: () => (actor.proxy.resume(), void (actor.up = true)) }
}

const loseAnswer = (actor: Actor, of: string) => orSoon(actor.proxy.loseAnswer(of))

/** What is waited for may never be said while little goes on. */
const orSoon = async (lost: Promise<void>) => void (await Promise.race([lost, sleep(3000)]))

/** In the middle of whatever they do; half of them, chosen by chance. */
async function endSessions({ db }: Stage, random: Random): Promise<Strike> {
  const { rows } = await db.pool.query<{ pid: number }>(`select pid from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend' order by pid`)
  const pids = rows.map(({ pid }) => pid).filter(() => random.chance(0.5))
  await db.pool
    .query('select pg_terminate_backend(pid) from unnest($1::int[]) pid', [pids])
    .catch(() => {}) // our own other sessions are among them
  return { about: `${pids.length} sessions` }
}

async function muffle({ actors }: Stage, random: Random): Promise<Strike> {
  const deaf = actors.filter(() => random.chance(0.6))
  const set = (muffled: boolean) => deaf.forEach(({ proxy }) => (proxy.muffled = muffled))
  set(true)
  return { about: deaf.map(({ name }) => name).join(' '), lift: () => set(false) }
}

type Hold = { id: number; fence: string; node: string; incarnation: number }

/**
 * Reports by those who do not hold a job: by an old incarnation, by another node, under another
 * fence, and again under an old one.
 */
const FALSE_HOLDS = `
  with open as (select j.id, j.fence, j.assigned_node as node, j.incarnation from earshot.jobs j where j.status in ('assigned', 'running') and j.kind = '${KIND}')
  select id, fence::text, node, incarnation - 1 as incarnation from open
  union all select o.id, o.fence::text, n.id, n.incarnation from open o join earshot.nodes n on n.id <> o.node
  union all select id, (fence # 1)::text, node, incarnation from open
  union all (select h.job_id, h.fence, h.node, h.incarnation from chaos.holds h join earshot.jobs j on j.id = h.job_id
    where j.fence::text is distinct from h.fence or j.status in ('completed', 'failed', 'cancelled') order by h.at desc limit 30)`

/**
 * What was said before is said again, by those who may say nothing any more; and bells ring for
 * nothing.
 */
async function replay({ db }: Stage): Promise<Strike> {
  const { rows } = await db.pool.query<Hold>(FALSE_HOLDS)
  const broken: string[] = []
  for (const { id, fence, node, incarnation } of rows) {
    const [answer] = await finishJobs(db.pool, node, incarnation, [
      { id, fence, outcome: { output: { node: 'a ghost' } } },
    ])
    if (answer?.answer === 'done')
      broken.push(
        `job ${id} was finished by ${node} of incarnation ${incarnation} under fence ${fence}, which did not hold it`,
      )
  }
  await db.pool
    .query(`select pg_notify(earshot.node_channel(n.id), w.word), pg_notify('earshot', w.word)
    from earshot.nodes n, unnest(array['', 'cancelled', 'jobs', 'events', 'no such word']) w (word)`)
  const { rows: nodes } = await db.pool.query<{ id: string; incarnation: number }>(
    'select id, incarnation from earshot.nodes',
  )
  for (const { id, incarnation } of nodes) {
    if ((await heartbeat(db.pool, id, incarnation - 1, {})).held !== null)
      broken.push(`the heartbeat of an old incarnation of ${id} was taken`)
  }
  return { about: `${rows.length} reports`, broken }
}
