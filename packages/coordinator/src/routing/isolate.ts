import { PROTOCOL } from '@earshot/contract'
import type { Database } from '@earshot/db/database'
import {
  type AloneJob,
  type LoneNode,
  listIsolatedJobs,
  listIsolationNodes,
  routeIsolatedJob,
} from '@earshot/db/functions/leadership'
import { meets } from '@earshot/shared/lanes'

/**
 * Finds nodes for jobs that must run alone (nodes died with them in hand). Such a job reserves one
 * node, which then empties, and gets it as soon as it has nothing else.
 *
 * @param term the leadership under which to act; a stale one assigns nothing
 * @returns how many jobs were assigned
 */
export async function routeIsolatedJobs(db: Database, term: string): Promise<number> {
  let jobs = await listIsolatedJobs(db.pool)
  if (jobs.length === 0) return 0
  const nodes = await listIsolationNodes(db.pool, PROTOCOL)
  let total = 0
  // All of them: those that no node can run must not hide the others. One that is reserved keeps
  // its node, wherever it stands.
  while (jobs.length > 0) {
    for (const job of jobs) {
      const node = chooseIsolationNode(nodes, job)
      if (node === undefined) continue
      node.reserved_for = job.id
      if (await routeIsolatedJob(db.pool, term, job.id, node)) total += 1
    }
    jobs = await listIsolatedJobs(db.pool, jobs.at(-1)!.id)
  }
  return total
}

/**
 * The node that is reserved for this job already, else one that no one reserved: first one that did
 * not die of it, the emptiest.
 */
export function chooseIsolationNode(nodes: LoneNode[], job: AloneJob): LoneNode | undefined {
  const able = nodes.filter(
    (node) => meets(node, job) && (node.reserved_for === null || node.reserved_for === job.id),
  )
  const diedOn = (node: LoneNode) => Number(job.died_on.includes(node.id))
  return (
    able.find((node) => node.reserved_for === job.id) ??
    able.toSorted((a, b) => diedOn(a) - diedOn(b) || a.open - b.open)[0]
  )
}
