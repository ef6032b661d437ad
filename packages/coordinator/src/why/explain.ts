import type { WhyNode, WhyView } from '@earshot/contract'
import { unmet } from '@earshot/shared/lanes'
import { jobsBefore, runTime, secondsUntilStart, slotsOf } from './expect.ts'
import type { Facts, LaneFacts } from './facts.ts'
import { missing } from './missing.ts'
import { explainNode } from './node.ts'
import { jobs, list, span, stopped } from './words.ts'

/**
 * Says why a job is where it is: in a sentence, and for one that waits node by node, with its place
 * and its expected start. It knows nothing but the facts that {@link readFacts} read, so that every
 * situation can be made by hand.
 */
export function explain(facts: Facts): WhyView {
  const { job } = facts
  const view: WhyView = {
    id: job.id,
    kind: job.kind,
    role: job.role,
    requires: job.requires,
    class: job.class,
    status: job.status,
    sentence: '',
    waits_for: [],
    position: null,
    before_in_other_lanes: null,
    expected_start: null,
    missing: [],
    nodes: [],
  }
  if (job.status === 'pending') return { ...view, ...waiting(facts) }
  if (job.status === 'blocked') return { ...view, waits_for: job.parents, sentence: blocked(facts) }
  return {
    ...view,
    sentence: job.status === 'assigned' || job.status === 'running' ? inHand(facts) : ended(facts),
  }
}

function blocked({ job }: Facts): string {
  return `It waits for ${list(job.parents.map((parent) => `job ${parent.id} (${parent.status})`)) || 'jobs that have just ended'}.`
}

function ended({ job }: Facts): string {
  const when = `${span(job.ended_s ?? 0)} ago`
  if (job.status === 'completed')
    return `It was completed ${when}${job.node === null ? '' : ` on ${job.node}`}${job.took_s === null ? '' : `, after ${span(job.took_s)}`}.`
  return `It ${job.status === 'failed' ? 'failed' : 'was cancelled'} ${when}${job.error === null ? '.' : `: ${stopped(job.error)}`}`
}

function inHand({ job, mesh }: Facts): string {
  const usual = runTime(mesh.times, job.kind, job.node ?? '')
  const known = usual === null ? '' : ` Such jobs take about ${span(usual)} there.`
  if (waitsThere(job, mesh))
    return `It waits in the queue of ${job.node}, attempt ${job.attempt}, and goes back as soon as another node has room.${known}`
  const doing =
    job.status === 'running'
      ? 'It has been running'
      : 'It was given out and is about to start, or too short to be marked as running:'
  return `${doing} on ${job.node} for ${span(job.held_s ?? 0)}, attempt ${job.attempt}.${known}`
}

/** It was given to a node that runs as many others at once as it can. */
function waitsThere(
  { id, node, role, status, class: jobClass }: Facts['job'],
  mesh: Facts['mesh'],
): boolean {
  const holder = mesh.nodes.find((one) => one.id === node)
  if (status !== 'assigned' || holder === undefined) return false
  const before = holder.open.filter(
    (open) =>
      open.role === role &&
      open.id !== id &&
      (open.running || (open.class === jobClass ? open.id < id : open.class === 'interactive')),
  )
  return before.length >= (holder.load[role]?.slots ?? Infinity)
}

type Waiting = Pick<
  WhyView,
  'sentence' | 'position' | 'before_in_other_lanes' | 'expected_start' | 'missing' | 'nodes'
>

function waiting(facts: Facts): Waiting {
  const { now, job, mesh } = facts
  const nodes = mesh.nodes.map((node) => explainNode(node, facts))
  const lacks = missing(mesh.nodes, job)
  const restS = Math.max(0, (job.run_at - now) / 1000)
  const laid = {
    position: null,
    before_in_other_lanes: null,
    expected_start: null,
    missing: lacks,
    nodes,
  }
  if (lacks.length > 0)
    return {
      ...laid,
      sentence: `No known node can run it: there is no ${list(lacks).replace(/^a /, '')}. It starts when one joins.`,
    }
  if (restS > 0)
    return {
      ...laid,
      expected_start: job.run_at > 8e15 ? null : isoIn(now, restS),
      sentence: resting(facts, restS),
    }
  if (job.alone)
    return {
      ...laid,
      sentence:
        `Nodes died with it in hand, so it runs alone, on a node that is empty. ${heldUp(nodes)}`.trim(),
    }
  const before = jobsBefore(job, mesh.lanes, (lane) => sharesNodes(lane, facts))
  const slots = mesh.nodes
    .filter((node) => node.free !== null && unmet(node, job).length === 0)
    .flatMap((node) => slotsOf(node, job, mesh.times))
  const startS = nodes.some((node) => node.reasons.some((reason) => reason.startsWith('media ')))
    ? null
    : secondsUntilStart(slots, before.own + before.others)
  return {
    ...laid,
    position: before.own + 1,
    before_in_other_lanes: before.others,
    expected_start: startS === null ? null : isoIn(now, startS),
    sentence: queued(facts, nodes, before, startS),
  }
}

const isoIn = (now: number, seconds: number): string => new Date(now + seconds * 1000).toISOString()

function sharesNodes(lane: LaneFacts, { job, mesh }: Facts): boolean {
  return mesh.nodes.some((node) => unmet(node, job).length === 0 && unmet(node, lane).length === 0)
}

function resting({ job, now }: Facts, restS: number): string {
  if (job.run_at > 8e15) return 'It is not to start before the end of time.'
  const until = `${isoIn(now, restS)} (in ${span(restS)})`
  return job.attempt > 0 && job.error !== null
    ? `It rests until ${until}, because: ${stopped(job.error)}`
    : `It is not to start before ${until}.`
}

function queued(
  { job, mesh }: Facts,
  nodes: readonly WhyNode[],
  before: ReturnType<typeof jobsBefore>,
  startS: number | null,
): string {
  if (!mesh.led)
    return 'No coordinator leads at the moment, so nothing is given out; another one takes over within two seconds.'
  const able = nodes.filter((node) => node.chance !== 'never')
  const free = able.filter((node) => node.chance === 'now').map((node) => node.node)
  const total = before.own + before.others
  const back =
    job.attempt > 0 && job.error !== null ? ` It went back before: ${stopped(job.error)}` : ''
  if (free.length > 0 && startS === 0)
    return `It starts at any moment: ${list(free)} ${free.length === 1 ? 'has' : 'have'} room.${back}`
  const place =
    total === 0
      ? 'It is the next of its lane'
      : `It is number ${before.own + 1} of its lane${before.others === 0 ? '' : `, and ${jobs(before.others)} of other lanes go before it`}`
  const start = startS === null ? '' : ` Expected to start in about ${span(startS)}.`
  return `${place}.${behind(before.interactive, mesh)} ${heldUp(able)}${start}${back}`.trim()
}

/** That interactive jobs go first, and what keeps a batch job from waiting forever. */
function behind(interactive: number, { lanes, patience_s: patience }: Facts['mesh']): string {
  if (interactive === 0) return ''
  const turn = lanes.some((lane) => lane.own && lane.aged)
    ? `its lane has waited for longer than ${span(patience)} and gets one start in ten`
    : `after ${span(patience)} its lane gets one start in ten`
  return ` ${jobs(interactive)} of these ${interactive === 1 ? 'is' : 'are'} interactive; ${turn}.`
}

/** The nodes that could run it, each with what holds it up. */
function heldUp(nodes: readonly WhyNode[]): string {
  const held = nodes
    .filter((node) => node.chance === 'later')
    .map((node) => `${node.node} (${node.reasons.join('; ')})`)
  return held.length === 0 ? '' : `It could run on ${list(held)}.`
}
