import { setTimeout as sleep } from 'node:timers/promises'
import { monotonicMs } from '@earshot/db/monotonic'
import { FAULTS } from './faults.ts'
import type { Fault, Strike } from './strike.ts'
import { healed } from './health.ts'
import { allEnded, checkAll } from './invariants.ts'
import { startSubmitting } from './jobs.ts'
import { type Random, createRandom } from './random.ts'
import { type Stage, type StageOptions, setStage } from './stage.ts'
import { startWatch } from './watch.ts'

export type ChaosOptions = StageOptions & {
  seed: number
  /** How long faults happen, in milliseconds. */
  forMs: number
  /** Jobs submitted a second. */
  rate: number
  /** Seconds that a job may wait while a node that can run it idles. */
  limitS: number
  /**
   * How often a job may fail by its own guilt: two tries rest in between, and make the end come
   * later.
   */
  maxTries: number
  /** Only faults whose sort holds one of these texts; all without. */
  only?: string[]
  say: (line: string) => void
}

export type Heal = { sort: string; about: string; ms: number }
export type ChaosReport = {
  seed: number
  /** What the faults were chosen by. */
  only: string[]
  minutes: number
  leaseS: number
  coordinators: number
  workers: number
  pooler: boolean
  jobs: number
  attempts: number
  effects: number
  deaths: number
  repeated: number
  longestWaitS: number
  heals: Heal[]
  broken: string[]
}

/** Runs a mesh under faults for a while, lets it come to rest, and checks what must never break. */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const { seed, forMs, limitS, say, leaseS, coordinators, workers } = options
  const broken: string[] = []
  const heals: Heal[] = []
  await using stage = await setStage(options)
  // Leases are not judged in a leader's first seconds; and a stage that is not well yet would be
  // the first fault's heal.
  await healed(stage)
  const watch = startWatch(stage, limitS)
  const submitter = await startSubmitting(stage, createRandom(seed + 1), options)
  const random = createRandom(seed)
  // Each once before any comes again, so that a short run has all of them.
  const faults = chooseFaults(stage, options)
  const deck = shuffle(faults, random)
  const began = monotonicMs()

  async function heal(struck: { fault: Fault; strike: Strike }[], suffix: string): Promise<void> {
    watch.disturb()
    const outcome = await healed(
      stage,
      struck.flatMap(({ strike }) => strike.settle ?? []),
    )
    watch.disturb()
    const names = struck
      .map(({ fault, strike }) => `${fault.sort}${suffix} (${strike.about})`)
      .join(' and ')
    if ('ills' in outcome)
      broken.push(
        `${seconds(monotonicMs() - began)} s: not healed in 30 s after ${names}: ${outcome.ills.join('; ')}`,
      )
    else
      for (const { fault, strike } of struck)
        heals.push({ sort: fault.sort + suffix, about: strike.about, ms: outcome.ms })
    say(
      `${seconds(monotonicMs() - began)} s: ${names}: ${'ms' in outcome ? `healed in ${seconds(outcome.ms)} s` : 'NOT HEALED'}; ${submitter.asked.length} jobs, ${broken.length + watch.broken().length} broken`,
    )
  }

  async function storm(): Promise<void> {
    const struck: { fault: Fault; strike: Strike }[] = []
    const count = random.chance(0.2) ? 2 : 1
    // Some cannot strike twice at once: the second is given up, not tried without end.
    for (let tries = 0; struck.length < count && tries < 50; tries++) {
      if (deck.length === 0)
        deck.push(
          ...shuffle(
            faults.flatMap((fault) => Array.from({ length: fault.weight }, () => fault)),
            random,
          ),
        )
      const fault = deck.pop()!
      watch.disturb()
      // The server may just be away for another fault.
      const strike = await fault.strike(stage, random).catch((error: Error) => {
        say(`${fault.sort}: ${error.message}`)
        return undefined
      })
      if (strike === undefined) continue
      struck.push({ fault, strike })
      broken.push(...(strike.broken ?? []))
    }
    if (struck.length === 0) return
    const since = monotonicMs()
    await heal(struck, '')
    const lasting = struck.filter(({ strike }) => strike.lift)
    if (lasting.length === 0) return
    const leastMs =
      Math.max(...lasting.map(({ strike }) => strike.leastMs ?? 0)) - (monotonicMs() - since)
    await sleep(Math.max(leastMs, random.whole(0, 1500)))
    for (const { strike } of lasting) await strike.lift!()
    await heal(lasting, ', then over')
  }

  while (monotonicMs() - began < forMs) {
    await storm()
    // Now and then long enough without a fault to see whether anything waits for nothing.
    await sleep(random.chance(0.1) ? (leaseS + limitS + 2) * 1000 : random.whole(100, 1000))
  }
  say('no more faults; waiting for the last jobs')
  await submitter.stop()
  const open = await allEnded(stage, 60_000)
  if (open > 0) broken.push(`${open} jobs did not end`)
  await watch.stop()
  const { broken: found, ...counts } = await checkAll(stage, submitter.asked)
  return {
    seed,
    only: options.only ?? [],
    minutes: Math.round((monotonicMs() - began) / 6000) / 10,
    leaseS,
    coordinators,
    workers,
    pooler: stage.pooler !== undefined,
    ...counts,
    repeated: submitter.repeated(),
    longestWaitS: watch.longestS(),
    heals,
    broken: [...broken, ...watch.broken(), ...found],
  }
}

function chooseFaults({ clock }: Stage, { only, say }: ChaosOptions): Fault[] {
  if (clock === undefined) say('the clock is not set: libfaketime is not on this machine')
  const chosen = FAULTS.filter(
    ({ sort, asked }) =>
      (clock !== undefined || !sort.startsWith('clock')) &&
      (only === undefined ? !asked : only.some((text) => sort.includes(text))),
  )
  if (chosen.length === 0)
    throw new Error(
      `No fault is called so. There are:\n${FAULTS.map(({ sort }) => sort).join('\n')}`,
    )
  return chosen
}

function shuffle<T>(of: readonly T[], random: Random): T[] {
  return of
    .map((one) => ({ one, place: random.next() }))
    .sort((a, b) => a.place - b.place)
    .map(({ one }) => one)
}

const seconds = (ms: number) => (ms / 1000).toFixed(1)
