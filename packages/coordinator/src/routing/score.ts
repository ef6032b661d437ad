import type { FreeNode } from '@earshot/db/functions/leadership'
import { type Fitting, type Capacity, capacityFor } from './capacity.ts'

/** What speaks for one slot. */
export type Candidate = {
  /** Of the node's slots in this role, how large a part is free: above 0, up to 1. */
  freeShare: number
  /** The node's measured speed in this kind; undefined before it was measured. */
  speed: number | undefined
  /** Its engine is loaded. */
  warm: boolean
  /** The media lies on its own disk. */
  near: boolean
}

/**
 * A full node works on its own for so much less than an empty one: its slots share processors,
 * memory and disk.
 */
const CROWDED = 0.5
/**
 * Loading a model, or fetching a recording, costs little beside hearing it: both only tip the
 * scales.
 */
const COLD = 0.8
const FAR = 0.9

/**
 * How much speaks for a slot; the greatest goes first. Speed leads, relative to the fastest there
 * is to choose from; a node that was not measured counts as the fastest, or it never would be. All
 * free slots are filled before anything waits, so a slow node idles only while there is nothing
 * more to do.
 *
 * @param fastest the greatest measured speed among those to choose from; 0 when none was measured
 */
export function score({ freeShare, speed, warm, near }: Candidate, fastest: number): number {
  const pace = speed === undefined || fastest <= 0 ? 1 : speed / fastest
  return pace * (CROWDED + (1 - CROWDED) * freeShare) * (warm ? 1 : COLD) * (near ? 1 : FAR)
}

/**
 * The node that a job goes to: the weightiest with a free slot; without one, the weightiest that
 * may queue it. Undefined when there is no room.
 *
 * @param holders the coordinators that hold the job's media, where that is known
 * @param isClosed whether nothing may be queued on a node
 */
export function chooseNode<N extends FreeNode>(
  able: readonly N[],
  job: Fitting,
  holders: readonly string[] | null,
  isClosed: (node: N) => boolean,
): N | undefined {
  const open = able.flatMap((node) => {
    const room = capacityFor(node, job, isClosed(node))
    return room === null ? [] : [{ node, room }]
  })
  const slots = open.filter(({ room }) => room === 'slot')
  const choice = slots.length > 0 ? slots : open
  if (choice.length < 2) return choice[0]?.node
  const fastest = Math.max(0, ...choice.map(({ node }) => node.speeds[job.kind] ?? 0))
  let best: { node: N; weight: number } | undefined
  for (const { node, room } of choice) {
    const weight = score(chanceOf(node, room, job, holders), fastest)
    if (best === undefined || weight > best.weight) best = { node, weight }
  }
  return best?.node
}

function chanceOf(
  node: FreeNode,
  room: Capacity,
  job: Fitting,
  holders: readonly string[] | null,
): Candidate {
  const { slots = 1, open = 0 } = node.load[job.role] ?? {}
  return {
    freeShare:
      room === 'slot'
        ? Math.min(1, (node.free[job.role] ?? 0) / Math.max(1, slots))
        : slots / (slots + open),
    speed: node.speeds[job.kind],
    warm: node.warm.includes(job.kind),
    near: holders === null || holders.some((holder) => node.shares.includes(holder)),
  }
}
