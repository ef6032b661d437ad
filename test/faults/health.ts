import { setTimeout as sleep } from 'node:timers/promises'
import { submitJobs } from '@earshot/db/functions/jobs'
import { monotonicMs } from '@earshot/db/monotonic'
import { KIND } from './kind.ts'
import { type Stage, isAlive } from './stage.ts'

/** After this long it counts as never healed. */
const GIVE_UP_MS = 30_000

/**
 * What is not well, in words; an empty list when someone leads, nothing lies with the dead and all
 * who should be there are.
 */
const ILLS = `
  select 'nobody who can leads' as ill where not exists (
    select from earshot.leader where expires_at > clock_timestamp() and split_part(holder, ' ', 1) <> all ($1))
  union all
  select format('job %s lies with %s', j.id, j.assigned_node)
  from earshot.jobs j left join earshot.nodes n on n.id = j.assigned_node
  where j.status in ('assigned', 'running') and j.id <> all ($4) and j.assigned_node <> all ($5)
    and (j.assigned_node = any ($1) or n.incarnation is distinct from j.incarnation or n.lease_until < clock_timestamp())
  union all
  select format('%s is not there', w.id) from unnest($2::text[]) w (id)
  where not exists (select from earshot.nodes n where n.id = w.id and n.status = 'online' and n.lease_until > clock_timestamp())
  union all
  select format('a new job is %s', j.status) from earshot.jobs j where j.id = $3 and j.status <> 'completed'
  limit 5`

/**
 * Waits until the mesh is well again without those who are down: until then a job that is submitted
 * now has been done too.
 *
 * @returns how many milliseconds it took, or what still ails it after 30 s
 */
export async function healed(
  { db, actors, heldJobs, heldNodes }: Stage,
  settle: Promise<unknown>[] = [],
): Promise<{ ms: number } | { ills: string[] }> {
  const began = monotonicMs()
  const down = actors.filter(({ up }) => !up).map(({ name }) => name)
  const settled = Promise.all(settle).then(
    () => undefined,
    (err: Error) => [err.message],
  )
  let probe: number | undefined
  let ills = ['the database does not answer']
  while (monotonicMs() - began < GIVE_UP_MS) {
    try {
      probe ??= (await submitJobs(db.pool, [{ kind: KIND, payload: { ms: 0 }, priority: 100 }]))[0]!
        .id
      const here = actors
        .filter(
          ({ part, name, up }) =>
            part === 'worker' && up && !down.includes(name) && !heldNodes.has(name),
        )
        .map(({ name }) => name)
      const { rows } = await db.pool.query<{ ill: string }>(ILLS, [
        down,
        here,
        probe,
        [...heldJobs],
        [...heldNodes],
      ])
      ills = [
        ...rows.map(({ ill }) => ill),
        ...actors
          .filter(({ up, child }) => up && !isAlive(child!))
          .map(({ name }) => `${name} ended by itself`),
      ]
      if (ills.length === 0) {
        const failed = await settled
        return failed === undefined ? { ms: monotonicMs() - began } : { ills: failed }
      }
    } catch {
      // The server is just being restarted, or ended this very session.
    }
    await sleep(50)
  }
  return { ills }
}
