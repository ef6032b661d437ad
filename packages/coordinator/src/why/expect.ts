import { isHeldBack } from '../routing/capacity.ts'
import type { JobFacts, MeshFacts, NodeFacts, OpenJob, RunTime } from './facts.ts'

/**
 * One slot: seconds until it is free, and how long a job of the kind in question takes there; null
 * where no one can tell.
 */
export type ExpectedSlot = { freeInS: number | null; runS: number | null }

/** How long a kind takes on a node: as measured there, else as measured elsewhere. */
export function runTime(times: readonly RunTime[], kind: string, node: string): number | null {
  const same = times.filter((time) => time.kind === kind)
  const here = same.find((time) => time.node === node)
  if (here !== undefined) return here.seconds
  return same.length === 0 ? null : same.reduce((sum, time) => sum + time.seconds, 0) / same.length
}

type Asking = Pick<JobFacts, 'kind' | 'role' | 'class' | 'whole'>

/**
 * The slots of a node for a job: free ones, and those that its open jobs hold; jobs that wait on
 * the node take them first.
 */
export function slotsOf(node: NodeFacts, job: Asking, times: readonly RunTime[]): ExpectedSlot[] {
  const runS = runTime(times, job.kind, node.id)
  const heldBack = isHeldBack(node, job)
  const free = Array.from({ length: heldBack ? 0 : (node.free?.[job.role] ?? 0) }, () => ({
    freeInS: 0,
    runS,
  }))
  const sameRole = node.open.filter((open) => open.role === job.role)
  // None of its own role and yet full: roles of a node may share what it has.
  const sharing = sameRole.length > 0 || free.length > 0 ? sameRole : node.open
  // One that must leave the last slot to others waits for one of its like.
  const holding = heldBack
    ? sharing.filter((open) => open.class === 'batch' && open.whole)
    : sharing
  const first = holding.toSorted((a, b) => Number(b.running) - Number(a.running) || a.id - b.id)
  const most = Math.max(1, (node.load[job.role]?.slots ?? holding.length) - free.length)
  const slots = [
    ...free,
    ...first.slice(0, most).map((open) => ({ freeInS: restOf(open, node.id, times), runS })),
  ]
  // An interactive job goes past the batch jobs that have not started.
  for (const open of first
    .slice(most)
    .filter((one) => job.class === 'batch' || one.class === 'interactive'))
    queue(slots, runTime(times, open.kind, node.id))
  return slots
}

function queue(slots: ExpectedSlot[], seconds: number | null): void {
  const next = slots.reduce<ExpectedSlot | undefined>(
    (best, slot) => ((slot.freeInS ?? Infinity) < (best?.freeInS ?? Infinity) ? slot : best),
    undefined,
  )
  if (next !== undefined) next.freeInS = seconds === null ? null : next.freeInS! + seconds
}

/**
 * Seconds that are left of a job; one that takes longer than usual is taken to need a tenth more.
 * null when nothing like it ran lately.
 */
export function restOf(
  { kind, held_s: held }: OpenJob,
  node: string,
  times: readonly RunTime[],
): number | null {
  const usual = runTime(times, kind, node)
  return usual === null ? null : Math.max(usual - held, usual / 10)
}

/**
 * Seconds until a job may start that has `before` others in front of it: each takes the slot that
 * is free first. null when it cannot be told, since nothing like it ran lately.
 *
 * @example
 * secondsUntilStart([{ freeInS: 5, runS: 10 }, { freeInS: 8, runS: 10 }], 2) // 15
 */
export function secondsUntilStart(slots: readonly ExpectedSlot[], before: number): number | null {
  const known = slots
    .filter((slot): slot is { freeInS: number; runS: number | null } => slot.freeInS !== null)
    .map((slot) => ({ ...slot }))
  for (let place = 0; ; place++) {
    const first = known.reduce<(typeof known)[number] | undefined>(
      (best, slot) => (best === undefined || slot.freeInS < best.freeInS ? slot : best),
      undefined,
    )
    if (first === undefined) return null
    if (place === before) return first.freeInS
    if (first.runS === null) known.splice(known.indexOf(first), 1)
    else first.freeInS += first.runS
  }
}

/**
 * How many jobs go before this one in its own lane, how many in lanes that share nodes with it, and
 * how many of all these are of a class that goes first.
 */
export function jobsBefore(
  job: Asking,
  lanes: MeshFacts['lanes'],
  shares: (lane: MeshFacts['lanes'][number]) => boolean,
): { own: number; others: number; interactive: number } {
  const sum = (some: MeshFacts['lanes']) => some.reduce((total, lane) => total + lane.before, 0)
  const own = lanes.filter((lane) => lane.own)
  const others = lanes.filter((lane) => !lane.own && shares(lane))
  return {
    own: sum(own),
    others: sum(others),
    interactive:
      job.class === 'interactive'
        ? 0
        : sum([...own, ...others].filter((lane) => lane.class === 'interactive')),
  }
}
