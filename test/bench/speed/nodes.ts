// Many simulated nodes in one process. Each joins, hears and renews its lease every 2 s; with WORKS
// they do what they are given at once, and share an ear.
import { PROTOCOL } from '@earshot/contract'
import { finishJobs, takeAssignments } from '@earshot/db/functions/jobs'
import { heartbeat, deregisterNode, nodeChannel, registerNode } from '@earshot/db/functions/nodes'
import { openDatabase } from '@earshot/db/open'
import { silentLog } from '@earshot/shared/log'
import { createWakeListener } from '@earshot/shared/transport/wake-listener'
import { openTransport } from '@earshot/shared/transport/open'
import { createTally } from './tally.ts'

const BEAT_MS = 2000
const {
  DATABASE_URL: url,
  REDIS_URL: redis = null,
  COUNT = '1',
  ROLE: role = 'idle',
  WORKS: works,
  HOME: home = '/',
} = process.env
const log = silentLog()
const tally = createTally()
const db = await openDatabase({ url, home, poolSize: 8 })
const transport = await openTransport({ db, url: redis, log })
const nodes: { id: string; incarnation: number }[] = []
for (let i = 0; i < Number(COUNT); i++) {
  const id = `simulated-${i}`
  const incarnation = await registerNode(db.pool, {
    id,
    name: id,
    host: null,
    port: null,
    version: '0',
    protocol: PROTOCOL,
    roles: [role],
    tags: {},
    capabilities: {},
    slots: { [role]: 2 },
  })
  nodes.push({ id, incarnation })
}

async function work({ id, incarnation }: (typeof nodes)[number]): Promise<void> {
  const jobs = await takeAssignments(db.pool, id, incarnation, [])
  if (jobs.length === 0) return
  for (const job of jobs) tally.ran(job.payload)
  await finishJobs(
    db.pool,
    id,
    incarnation,
    jobs.map((job) => ({ ...job, outcome: { output: {}, ran_s: 0.001 } })),
  )
}

if (works) {
  // One connection can listen for all.
  const channels: Record<string, () => void> = {}
  for (const node of nodes)
    channels[await nodeChannel(db.pool, node.id)] = () => void work(node).catch(() => {})
  await db.listen(channels, () => {})
} else {
  for (const { id, incarnation } of nodes) {
    const hearing = createWakeListener({ db, transport, node: id, onHint: () => {}, log })
    await hearing.open()
    hearing.joined(incarnation, null)
  }
}
const beats = nodes.map((node, i) =>
  setTimeout(
    () => {
      beats[i] = setInterval(() => {
        void heartbeat(db.pool, node.id, node.incarnation, {}, { speeds: {}, warm: [], shares: [] })
          .then(({ held }) => (works && held !== null && held.length > 0 ? work(node) : undefined))
          .catch(() => {})
      }, BEAT_MS)
    },
    (BEAT_MS * i) / nodes.length,
  ),
)
process.once('SIGTERM', () => {
  for (const beat of beats) clearTimeout(beat)
  void Promise.all(
    nodes.map(({ id, incarnation }) => deregisterNode(db.pool, id, incarnation)),
  ).finally(() => process.exit(0))
})
tally.ready()
