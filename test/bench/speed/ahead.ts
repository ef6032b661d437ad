import path from 'node:path'
import { mkdir } from 'node:fs/promises'
import { routeAll } from '@earshot/coordinator/routing/route'
import { finishJobs, submitJobs, takeAssignments } from '@earshot/db/functions/jobs'
import { registerKinds } from '@earshot/db/functions/kinds'
import { acquireLeadership } from '@earshot/db/functions/leadership'
import { registerNode } from '@earshot/db/functions/nodes'
import { migrate } from '@earshot/db/migrate'
import { type Database, openDatabase } from '@earshot/db/open'
import { PROTOCOL } from '@earshot/contract'
import { now } from './contender.ts'
import { noop } from './kind.ts'
import type { Part } from './part.ts'
import { compare, short } from './result.ts'

const JOBS = 500
const NODES = 5
type Table = { db: Database; term: string; nodes: { id: string; incarnation: number }[] }

/**
 * The leader's own routing over five nodes, on a database with many jobs of higher priority that no
 * node can run, and on one without, in turn.
 */
export const behindOthers: Part = async ({ stage, quick, say }) => {
  const many = quick ? 50_000 : 1_000_000
  const tables = [
    await setTable(await stage.database('few'), path.join(stage.folder, 'few'), 0),
    await setTable(await stage.database('many'), path.join(stage.folder, 'many'), many),
  ] as const
  const times: [number[], number[]] = [[], []]
  const rounds = quick ? 5 : 20
  for (let round = -3; round < rounds; round++) {
    for (const which of round % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
      const ms = await routeOnce(tables[which])
      if (round >= 0) times[which].push(ms)
    }
  }
  for (const { db } of tables) await db.close()
  say(`routed ${rounds} times each`)
  return [
    compare({
      measure: `routing ${JOBS} jobs with ${short(many)} unroutable ahead`,
      against: 'with none ahead',
      unit: 'ms',
      target: { sign: '≤', than: 1.3, unit: '×' },
      ours: times[1],
      peer: times[0],
    }),
  ]
}

async function setTable(url: string, home: string, ahead: number): Promise<Table> {
  await mkdir(home)
  const db = await openDatabase({ url, home })
  await migrate(db)
  await registerKinds(db.pool, [noop.registration])
  await db.pool.query(
    `update earshot.settings set leadership = '1 hour', routable = '1 hour', lease = '1 hour'`,
  )
  await db.pool.query(
    `insert into earshot.jobs (kind, role, requires, priority) select 'noop', 'noop', '{"nobody_has": true}', 100 from generate_series(1, $1::int)`,
    [ahead],
  )
  await db.pool.query('vacuum analyze earshot.jobs')
  const nodes = []
  for (let i = 0; i < NODES; i++) {
    const id = `n${i}`
    nodes.push({
      id,
      incarnation: await registerNode(db.pool, {
        id,
        name: id,
        host: null,
        port: null,
        version: '0',
        protocol: PROTOCOL,
        roles: [noop.role],
        tags: {},
        capabilities: {},
        slots: { [noop.role]: JOBS / NODES },
      }),
    })
  }
  return { db, term: (await acquireLeadership(db.pool, 'bench', false))!, nodes }
}

async function routeOnce({ db, term, nodes }: Table): Promise<number> {
  await submitJobs(
    db.pool,
    Array.from({ length: JOBS }, () => ({ kind: noop.kind, payload: {} })),
  )
  const began = now()
  const routed = await routeAll(db, { term: term })
  const ms = now() - began
  if (routed !== JOBS) throw new Error(`${routed} of ${JOBS} jobs were routed`)
  for (const { id, incarnation } of nodes) {
    const jobs = await takeAssignments(db.pool, id, incarnation, [])
    await finishJobs(
      db.pool,
      id,
      incarnation,
      jobs.map((job) => ({ ...job, outcome: { output: {}, ran_s: 0.001 } })),
    )
  }
  return ms
}
