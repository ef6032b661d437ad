import type { Contender } from './contender.ts'
import type { Part } from './part.ts'
import { processorSeconds } from './processes.ts'
import { closedLoop, drain, startDelays, warmUp } from './races.ts'
import { type Line, compare, short } from './result.ts'
import type { Name } from './stage.ts'

type Pair = { ours: 'notify' | 'redis'; peer: Name; than: number }
/** Those that were asked for: of two ways maybe one, and the peers that it is compared with. */
const taking = ({ by }: Parameters<Part>[0], pairs: readonly Pair[]): Pair[] =>
  pairs.filter(({ ours }) => by === undefined || ours === by)
const named = (pairs: readonly Pair[]): Name[] => [
  ...new Set(pairs.flatMap(({ ours, peer }) => [ours, peer])),
]
const WAYS = { notify: 'by NOTIFY', redis: 'by Redis' } as const
const PEERS: Record<string, string> = {
  graphile: 'graphile-worker, its best',
  graphileDefault: 'graphile-worker, default',
  bullmq: 'BullMQ alone',
}

/**
 * Measures all who take part round by round, each time another one first, so that what disturbs the
 * machine disturbs all.
 */
async function inTurn<T>(
  { stage, rounds, say }: Parameters<Part>[0],
  names: readonly Name[],
  what: string,
  measure: (contender: Contender) => Promise<T>,
  text: (value: T) => string,
): Promise<Map<Name, T[]>> {
  const found = new Map<Name, T[]>(names.map((name) => [name, []]))
  const contenders = new Map<Name, Contender>()
  for (const name of names) contenders.set(name, await stage.get(name))
  say('warming up, all the same')
  await warmUp([...contenders.values()])
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < names.length; i++) {
      const name = names[(i + round) % names.length]!
      const value = await measure(contenders.get(name)!)
      found.get(name)!.push(value)
      say(`${what}, round ${round + 1} of ${rounds}, ${contenders.get(name)!.name}: ${text(value)}`)
    }
  }
  return found
}

/** Processor time of a contender's own processes so far, in seconds. */
const used = ({ pids }: Contender): number =>
  pids.reduce((sum, pid) => sum + (processorSeconds(pid) ?? Number.NaN), 0)

const pairLines = (
  pairs: readonly Pair[],
  found: Map<Name, number[]>,
  about: Pick<Line, 'measure' | 'unit'>,
  note?: Record<string, string>,
): Line[] =>
  pairs.map(({ ours, peer, than }) =>
    compare({
      ...about,
      measure: `${about.measure}, ${WAYS[ours]}`,
      against: PEERS[peer]!,
      target: { sign: '≥', than, unit: '×' },
      ours: found.get(ours)!,
      peer: found.get(peer)!,
      ...(note?.[peer] && { note: note[peer] }),
    }),
  )

export const draining: Part = async (bench) => {
  const pairs = taking(bench, [
    { ours: 'notify', peer: 'graphile', than: 1.4 },
    { ours: 'redis', peer: 'graphile', than: 1.2 },
    { ours: 'notify', peer: 'bullmq', than: 2 },
    { ours: 'redis', peer: 'bullmq', than: 1 },
  ])
  const found = await inTurn(
    bench,
    named(pairs),
    `${short(bench.jobs)} no-op jobs`,
    async (one) => {
      const before = used(one)
      const rate = await drain(one, bench.jobs)
      bench.say(
        `  its own processes used ${short(((used(one) - before) / bench.jobs) * 1e6)} µs of processor time a job`,
      )
      return rate
    },
    (rate) => `${short(rate)} jobs/s`,
  )
  return pairLines(
    pairs,
    found,
    { measure: `${short(bench.jobs)} no-op jobs drained by 2 workers`, unit: 'jobs/s' },
    { bullmq: "BullMQ's Redis writes nothing to disk." },
  )
}

export const closed: Part = async (bench) => {
  const pairs = taking(bench, [
    { ours: 'notify', peer: 'graphile', than: 2 },
    { ours: 'redis', peer: 'graphile', than: 3 },
  ])
  const found = await inTurn(
    bench,
    named(pairs),
    '4 clients',
    async (one) => {
      const before = used(one)
      const { rate, jobs } = await closedLoop(one, bench.seconds)
      bench.say(
        `  its own processes used ${short(((used(one) - before) / jobs) * 1e6)} µs of processor time a job`,
      )
      return rate
    },
    (rate) => `${short(rate)} jobs/s`,
  )
  return pairLines(pairs, found, { measure: '4 clients, one job a transaction', unit: 'jobs/s' })
}

export const starting: Part = async (bench) => {
  const jobs = Math.max(50, Math.round(bench.jobs / 50))
  const limits = { notify: { p50: 0.85, p99: 1 }, redis: { p50: 1.2, p99: 1.5 } }
  const ways = taking(bench, [
    { ours: 'notify', peer: 'graphileDefault', than: 0 },
    { ours: 'redis', peer: 'graphileDefault', than: 0 },
  ])
  const found = await inTurn(
    bench,
    named(ways),
    `${jobs} jobs one at a time`,
    (one) => startDelays(one, jobs),
    ({ p50, p99 }) => `p50 ${short(p50)}, p99 ${short(p99)} ms`,
  )
  return ways.flatMap(({ ours, peer }) =>
    (['p50', 'p99'] as const).map((part) =>
      compare({
        measure: `enqueued → started, one at a time, ${part}, ${WAYS[ours]}`,
        against: PEERS[peer]!,
        unit: 'ms',
        target: { sign: '≤', than: limits[ours][part], unit: '×' },
        ours: found.get(ours)!.map((one) => one[part]),
        peer: found.get(peer)!.map((one) => one[part]),
      }),
    ),
  )
}
