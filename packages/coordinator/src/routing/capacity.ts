import type { JobClass } from '@earshot/contract'
import type { FreeNode } from '@earshot/db/functions/leadership'

/** What of a job decides whether a node has room for it. `whole`: it cannot be cut. */
export type Fitting = { role: string; kind: string; class: JobClass; whole: boolean }
/** A slot in which it starts at once, or a place in the node's queue. */
export type Capacity = 'slot' | 'queue'

/**
 * Work that waits on a node is to take no longer than this, and is no more than so many jobs a
 * slot.
 */
const QUEUED_S = 0.2
const MOST_A_SLOT = 64

/**
 * How many jobs of a kind may wait on a node for each of its slots, given how many it does in a
 * second there. None of a kind that was not measured, or of which one takes longer than the queue
 * may.
 *
 * @example
 * queueDepth(100) // 20: two tenths of a second
 */
export function queueDepth(speed: number | undefined): number {
  return speed === undefined ? 0 : Math.min(MOST_A_SLOT, Math.floor(speed * QUEUED_S))
}

/**
 * Whether a node takes a job now, and how. Under `closed`, by role, nothing is queued: a job that
 * goes first waits for that node.
 */
export function capacityFor(node: FreeNode, job: Fitting, closed: boolean): Capacity | null {
  if (isHeldBack(node, job)) return null
  if ((node.free[job.role] ?? 0) > 0) return 'slot'
  return !closed && mayQueue(node, job) ? 'queue' : null
}

/**
 * Whether the job must leave a node's last slot to others: batch work that cannot be cut holds all
 * slots but one.
 */
export function isHeldBack({ load }: Pick<FreeNode, 'load'>, job: Fitting): boolean {
  if (job.class !== 'batch' || !job.whole) return false
  return [load[job.role], load['*']].some(
    (one) => one !== undefined && one.slots >= 2 && one.whole >= one.slots - 1,
  )
}

function mayQueue(node: FreeNode, job: Fitting): boolean {
  const queue = queueOf(node, job.role)
  if (queue === undefined) return false
  const depth = job.whole ? 0 : queueDepth(node.speeds[job.kind]) * queue.quick
  if (job.class === 'batch') return queue.waiting < depth
  // It goes to the front of the node's queue: where short jobs take turns, it starts as soon as one
  // of them ends, however long it is itself.
  return queue.interactive < depth || (queue.waiting > 0 && queue.inHand < queue.quick)
}

type Queue = { quick: number; waiting: number; interactive: number; inHand: number }

/**
 * What waits on a node in a role. quick: slots in which no job has been running for longer than a
 * moment, so that one ends soon; interactive: how many of those that wait are; inHand: interactive
 * ones that wait or run. Undefined for a role in quarantine.
 */
function queueOf({ load }: FreeNode, role: string): Queue | undefined {
  const own = load[role]
  if (own === undefined) return undefined
  const all = load['*'] === undefined ? [own] : [own, load['*']]
  return {
    quick: Math.max(0, Math.min(...all.map((one) => one.slots - one.running))),
    waiting: Math.max(0, ...all.map((one) => one.open - one.slots)),
    interactive: Math.max(0, ...all.map((one) => one.interactive - one.slots)),
    inHand: Math.max(...all.map((one) => one.interactive)),
  }
}

/** How many jobs of a role a node takes at most, whatever their kinds. */
export function maxCapacity(node: FreeNode, role: string, jobClass: JobClass): number {
  const free = node.free[role] ?? 0
  const queue = queueOf(node, role)
  if (queue === undefined) return free
  const depth = Math.max(0, ...Object.values(node.speeds).map(queueDepth)) * queue.quick
  if (jobClass === 'batch') return free + Math.max(0, depth - queue.waiting)
  return (
    free +
    Math.max(0, depth - queue.interactive) +
    (queue.waiting > 0 ? Math.max(0, queue.quick - queue.inHand) : 0)
  )
}

/** Notes that a job was given to a node. */
export function occupy({ free, load }: FreeNode, job: Fitting): void {
  for (const key of [job.role, '*']) {
    if (free[key] !== undefined) free[key] = Math.max(0, free[key] - 1)
    const one = load[key]
    if (one === undefined) continue
    one.open += 1
    if (job.class === 'interactive') one.interactive += 1
    else if (job.whole) one.whole += 1
  }
  const total = free['*']
  if (total === undefined) return
  for (const role of Object.keys(free)) free[role] = Math.min(free[role]!, total)
}
