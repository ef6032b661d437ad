import type { JobFacts, MeshFacts, NodeFacts, RunTime } from './facts.ts'

/** One slot: seconds until it is free, and how long a job of the kind in question takes there; null where nobody can tell. */
export type ExpectedSlot = { freeInS: number | null; runS: number | null }

/** How long a kind takes on a node: as measured there, else as measured elsewhere. */
export function runTime(times: readonly RunTime[], kind: string, node: string): number | null {
  const same = times.filter((time) => time.kind === kind)
  const here = same.find((time) => time.node === node)
  if (here !== undefined) return here.seconds
  return same.length === 0 ? null : same.reduce((sum, time) => sum + time.seconds, 0) / same.length
}

/** The slots of a node for a job's role: free ones, and those that its open jobs hold. */
export function slotsOf(node: NodeFacts, job: Pick<JobFacts, 'kind' | 'role'>, times: readonly RunTime[]): ExpectedSlot[] {
  const runS = runTime(times, job.kind, node.id)
  const free = Array.from({ length: node.free?.[job.role] ?? 0 }, () => ({ freeInS: 0, runS }))
  const sameRole = node.open.filter((open) => open.role === job.role)
  // None of its own role and yet full: roles of a node may share what it has.
  const holding = sameRole.length > 0 || free.length > 0 ? sameRole : node.open
  return [...free, ...holding.map((open) => ({ freeInS: rest(runTime(times, open.kind, node.id), open.held_s), runS }))]
}

/** What is left of a job that takes `usual` seconds; one that takes longer than usual is taken to need a tenth more. */
function rest(usual: number | null, held: number): number | null {
  return usual === null ? null : Math.max(usual - held, usual / 10)
}

/**
 * Seconds until a job may start that has `before` others in front of it: each takes the slot that is free first. null when it
 * cannot be told, since nothing like it ran lately.
 *
 * @example
 * secondsUntilStart([{ freeInS: 5, runS: 10 }, { freeInS: 8, runS: 10 }], 2) // 15
 */
export function secondsUntilStart(slots: readonly ExpectedSlot[], before: number): number | null {
  const known = slots.filter((slot): slot is { freeInS: number; runS: number | null } => slot.freeInS !== null).map((slot) => ({ ...slot }))
  for (let place = 0; ; place++) {
    const first = known.reduce<(typeof known)[number] | undefined>((best, slot) => (best === undefined || slot.freeInS < best.freeInS ? slot : best), undefined)
    if (first === undefined) return null
    if (place === before) return first.freeInS
    if (first.runS === null) known.splice(known.indexOf(first), 1)
    else first.freeInS += first.runS
  }
}

/** How many of the jobs before this one stand in its own lane, and how many in lanes that share nodes with it. */
export function jobsBefore(lanes: MeshFacts['lanes'], shares: (lane: MeshFacts['lanes'][number]) => boolean): { own: number; others: number } {
  const own = lanes.find((lane) => lane.own)?.before ?? 0
  const others = lanes.filter((lane) => !lane.own && shares(lane)).reduce((sum, lane) => sum + lane.before, 0)
  return { own, others }
}
