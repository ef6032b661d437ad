import type { FreeNode, Given, Lane, NextJob } from '@earshot/db/functions/leadership'
import { occupy } from './capacity.ts'
import type { BatchAging } from './batch-aging.ts'
import { chooseNode } from './score.ts'

/** A lane of one class, with the nodes that meet its needs. */
export type OpenLane = Lane & { able: FreeNode[] }
export type PlacementInput = {
  /** By {@link laneKey}. */
  lanes: ReadonlyMap<string, OpenLane>
  /** What is next, best first. */
  jobs: readonly NextJob[]
  /** Batch jobs that have waited too long, best first; they may be among `jobs` too. */
  aged: readonly NextJob[]
  batchAging: BatchAging
}
/** `full`: the lanes, by key, of which a job found no room. */
export type Placement = { given: Given[]; full: Set<string> }

export const laneKey = ({ lane, class: jobClass }: Pick<Lane, 'lane' | 'class'>): string =>
  `${lane} ${jobClass}`

/**
 * Gives jobs to nodes, in their order, and notes in the nodes' books what they got. No job is
 * queued on a node that one before it waits for: it would take the slot from under it.
 */
export function choosePlacements({ lanes, jobs, aged, batchAging }: PlacementInput): Placement {
  const given: Given[] = []
  const full = new Set<string>()
  const done = new Set<number>()
  const closed = new Set<string>()
  let old = [...aged]

  const isAged = new Set(aged.map(({ id }) => id))

  function put(job: NextJob): boolean {
    const lane = lanes.get(laneKey(job))!
    const fitting = { ...job, role: lane.role }
    const node = chooseNode(lane.able, fitting, job.holders, ({ id }) =>
      closed.has(`${lane.role} ${id}`),
    )
    if (node === undefined) {
      for (const { id } of lane.able) closed.add(`${lane.role} ${id}`)
      full.add(laneKey(job))
      return false
    }
    occupy(node, fitting)
    done.add(job.id)
    given.push({ job: job.id, node: node.id, incarnation: node.incarnation })
    if (isAged.has(job.id)) batchAging.reset(lane.role)
    else batchAging.count(lane.role)
    return true
  }

  /** One that found no room is not tried again this time: nothing becomes free meanwhile. */
  function giveTurn(role: string): void {
    while (batchAging.isDue(role)) {
      const next = old.find((job) => lanes.get(laneKey(job))!.role === role && !done.has(job.id))
      if (next === undefined) return
      old = old.filter((job) => job !== next)
      put(next)
    }
  }

  for (const job of jobs) {
    giveTurn(lanes.get(laneKey(job))!.role)
    if (!done.has(job.id)) put(job)
  }
  return { given, full }
}
