import { createLoop } from '@earshot/shared/loop'
import { silentLog } from '@earshot/shared/log'
import { monotonicMs } from '@earshot/db/monotonic'
import type { Stage } from './stage.ts'
import { ROLE } from './kind.ts'

const EVERY_MS = 200
/** Looks farther apart than this say nothing of the time between them. */
const GAP_S = 1

export type Watch = {
  /** Something was done to the mesh just now: it has the time of a lease to get over it. */
  disturb(): void
  /**
   * The longest time, in seconds, that a job waited while a node that could run it had nothing to
   * do, outside of disturbances.
   */
  longestS(): number
  /** One sentence for each job that waited too long. */
  broken(): string[]
  stop(): Promise<void>
}

type Look = {
  now: number
  idle: { id: string; zone: string; since: number }[]
  waiting: { id: number; attempt: number; zone: string | null }[]
}

/**
 * Times are the database's own, in seconds. Idle: it has nothing at all, and has had nothing since.
 */
const LOOK = `
  select extract(epoch from clock_timestamp())::float8 as now,
    (select coalesce(jsonb_agg(jsonb_build_object('id', n.id, 'zone', n.tags ->> 'zone',
        'since', (select extract(epoch from max(h.at)) from chaos.holds h where h.node = n.id))), '[]')
     from earshot.nodes n, earshot.settings s
     where n.status = 'online' and n.reason is null and not n.drained and not n.stopping and n.reserved_for is null
       and n.last_seen > clock_timestamp() - s.routable and n.busy in ('{}', '{"${ROLE}": 0}')
       and not exists (select from earshot.jobs j where j.assigned_node = n.id and j.status in ('assigned', 'running'))
       and not exists (select from earshot.quarantines q where q.node = n.id)) as idle,
    (select coalesce(jsonb_agg(w), '[]') from (
       select j.id, j.attempt, j.requires ->> 'zone' as zone from earshot.jobs j
       where j.status = 'pending' and j.due and not j.alone and j.role = '${ROLE}' order by j.id limit 500) w) as waiting`

/**
 * Looks five times a second whether a job waits while a node that could run it idles, for longer
 * than `limitS` seconds.
 */
export function startWatch({ db, leaseS }: Stage, limitS: number): Watch {
  const late = new Map<number, string>()
  let longest = 0
  let disturbedAt = monotonicMs()
  let last = 0
  let idleSince = new Map<string, number>()
  let waitingSince = new Map<string, number>()

  async function look(): Promise<void> {
    const { rows } = await db.pool.query<Look>(LOOK)
    const { now, idle, waiting } = rows[0]!
    const gap = now - last > GAP_S
    last = now
    const keep = (before: Map<string, number>, key: string) =>
      gap ? now : (before.get(key) ?? now)
    idleSince = new Map(
      idle.map(({ id, since }) => [id, Math.max(since ?? 0, keep(idleSince, id))]),
    )
    waitingSince = new Map(
      waiting.map((job) => [
        `${job.id} ${job.attempt}`,
        keep(waitingSince, `${job.id} ${job.attempt}`),
      ]),
    )
    if (monotonicMs() - disturbedAt < (leaseS + limitS) * 1000) return
    for (const node of idle) {
      for (const job of waiting) {
        if (job.zone !== null && job.zone !== node.zone) continue
        note(
          now - Math.max(idleSince.get(node.id)!, waitingSince.get(`${job.id} ${job.attempt}`)!),
          job.id,
          node.id,
        )
      }
    }
  }

  function note(waited: number, job: number, node: string): void {
    longest = Math.max(longest, waited)
    if (waited > limitS)
      late.set(job, `job ${job} waited for ${waited.toFixed(1)} s while ${node} had nothing to do`)
  }

  // A look that fails, since the server is being restarted, is left out.
  const loop = createLoop({
    everyMs: EVERY_MS,
    work: () => look().catch(() => {}),
    log: silentLog(),
  })
  loop.start()
  return {
    disturb: () => (disturbedAt = monotonicMs()),
    longestS: () => longest,
    broken: () => [...late.values()],
    stop: () => loop.stop(),
  }
}
