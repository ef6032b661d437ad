import { PROTOCOL, type WhyNode } from '@earshot/contract'
import { unmet } from '@earshot/shared/lanes'
import { isHeldBack } from '../routing/capacity.ts'
import { restOf, secondsUntilStart, slotsOf } from './expect.ts'
import type { Facts, NodeFacts } from './facts.ts'
import { span } from './words.ts'

/** What one node has to say to a job that waits: never, later or now, and the reasons. */
export function explainNode(node: NodeFacts, facts: Facts): WhyNode {
  const lacking = unmet(node, facts.job)
  if (lacking.length > 0) return { node: node.id, chance: 'never', reasons: lacking }
  const away = absence(node, facts.mesh.routable_s)
  const reasons = away.length > 0 ? away : [...held(node, facts), ...media(facts)]
  return { node: node.id, chance: reasons.length === 0 ? 'now' : 'later', reasons }
}

/** Why no one may be given to it at all. */
function absence(node: NodeFacts, routableS: number): string[] {
  if (node.status === 'offline') return [`offline for ${span(node.silent_s)}`]
  if (node.status === 'degraded' || node.silent_s > routableS)
    return [`silent for ${span(node.silent_s)}`]
  if (node.protocol !== PROTOCOL)
    return [`other protocol: it speaks ${node.protocol}, the mesh ${PROTOCOL}`]
  if (node.stopping) return ['stopping']
  if (node.drained) return ['drained']
  const closed = node.quarantines.find(({ role }) => role === '*')
  if (closed !== undefined) return [`in quarantine: ${closed.reason}`]
  return node.reason === null ? [] : [node.reason]
}

/** Why it gets nothing of this role just now. */
function held(node: NodeFacts, { job, mesh }: Facts): string[] {
  const reasons: string[] = []
  const [quarantine] = node.quarantines
  if (quarantine?.probe_s != null) {
    const probe =
      quarantine.probe_s > 0
        ? `until it is probed in ${span(quarantine.probe_s)}`
        : 'and probed with one job at a time'
    // A probe that is due may well be this job: then it is a remark, and no obstacle.
    if (quarantine.probe_s > 0 || (node.free?.[job.role] ?? 0) <= 0)
      reasons.push(`in quarantine for ${job.role} ${probe}: ${quarantine.reason}`)
  }
  if (node.reserved_for !== null && node.reserved_for !== job.id)
    return [...reasons, `kept free for job ${node.reserved_for}, which runs alone`]
  if (job.alone)
    return node.open.length > 0
      ? [...reasons, `not empty: ${node.open.length} in hand, and the job runs alone`]
      : reasons
  if (reasons.length > 0) return reasons
  if (node.free === null) return ['gets no work at the moment']
  if (node.load[job.role]?.slots === 0)
    return [`it offers 0 slots for ${job.role}, or a number of slots that cannot be read`]
  const wait = secondsUntilStart(slotsOf(node, job, mesh.times), 0)
  const until = wait === null ? '' : ` for about ${span(wait)}`
  if ((node.free[job.role] ?? 0) > 0)
    return isHeldBack(node, job)
      ? [`its last slot is kept free for interactive work; full for this kind${until}`]
      : []
  return [`full${until}`, ...bound(node, job, mesh.times)]
}

/**
 * What an interactive job may have to wait for at most: the longest piece of work in hand that
 * cannot be cut.
 */
function bound(node: NodeFacts, job: Facts['job'], times: Facts['mesh']['times']): string[] {
  if (job.class !== 'interactive') return []
  const whole = node.open.filter(
    (open) => open.whole && (open.role === job.role || node.load['*'] !== undefined),
  )
  const [longest] = whole
    .map((open) => ({ open, rest: restOf(open, node.id, times) }))
    .toSorted((a, b) => (b.rest ?? Infinity) - (a.rest ?? Infinity))
  if (longest === undefined) return []
  const { open, rest } = longest
  return [
    `busy with job ${open.id} (${open.kind}, cannot be cut)${rest === null ? '' : `, about ${span(rest)} left`}`,
  ]
}

/** A coordinator says every 5 s that it is there. */
const GREETING_LATE_MS = 15_000

/** Why the media that the job needs cannot be had. */
function media({ now, job, mesh }: Facts): string[] {
  if (
    job.media === null ||
    mesh.holders.some(
      (holder) => holder.seen_at !== null && now - holder.seen_at <= GREETING_LATE_MS,
    )
  )
    return []
  const name = `media ${job.media.slice(0, 12)}…`
  if (mesh.holders.length === 0) return [`${name} is held by no coordinator`]
  return mesh.holders.map(
    ({ id, seen_at: seen }) =>
      `${name} on ${id}, unreachable${seen === null ? '' : ` since ${new Date(seen).toISOString()}`}`,
  )
}
