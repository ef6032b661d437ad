import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Contender, now } from './contender.ts'
import { percentile } from './result.ts'

const PATIENCE_MS = 300_000

/** Waits until the handlers saw so many jobs. */
export async function handled({ name, ran }: Contender, count: number): Promise<void> {
  const until = now() + PATIENCE_MS
  while (ran.count < count) {
    if (now() > until)
      throw new Error(`${name} ran ${ran.count} of ${count} jobs in ${PATIENCE_MS / 1000} s`)
    await sleep(1)
  }
}

/**
 * Waits until the end of so many jobs is committed: for all in the same way, by asking where they
 * lie.
 */
export async function settled(contender: Contender, count: number): Promise<void> {
  await handled(contender, count)
  while (await contender.isOpen()) await sleep(1)
}

/**
 * The same for all: what is compiled, planned or measured of itself at first is no part of any
 * figure.
 */
export async function warmUp(contenders: readonly Contender[]): Promise<void> {
  for (const contender of contenders) {
    contender.ran.reset()
    await contender.addMany(2000)
    await settled(contender, 2000)
    const client = await contender.connect()
    for (let i = 1; i <= 200; i++) await client.add({})
    await settled(contender, 2200)
    await client.close()
  }
  // Until the mesh's nodes have told with a heartbeat how fast they are.
  await sleep(4000)
}

/** Jobs a second: from the moment they are all there until the last one's end is committed. */
export async function drain(contender: Contender, jobs: number): Promise<number> {
  contender.ran.reset()
  await contender.addMany(jobs)
  const began = now()
  await settled(contender, jobs)
  return (jobs / (now() - began)) * 1000
}

/**
 * Clients that enqueue one job a transaction, the next when the one before is committed. `rate`:
 * jobs a second until the last one's end is committed.
 */
export async function closedLoop(
  contender: Contender,
  seconds: number,
  count = 4,
): Promise<{ rate: number; jobs: number }> {
  contender.ran.reset()
  const clients = await Promise.all(Array.from({ length: count }, () => contender.connect()))
  const began = now()
  let jobs = 0
  await Promise.all(
    clients.map(async (client) => {
      while (now() - began < seconds * 1000) {
        await client.add({})
        jobs += 1
      }
    }),
  )
  await settled(contender, jobs)
  const rate = (jobs / (now() - began)) * 1000
  await Promise.all(clients.map((client) => client.close()))
  return { rate, jobs }
}

/**
 * Milliseconds from a client's enqueueing to the handler's start, one job at a time, at irregular
 * moments.
 */
export async function startDelays(
  contender: Contender,
  jobs: number,
): Promise<{ p50: number; p99: number }> {
  contender.ran.reset()
  const client = await contender.connect()
  for (let i = 1; i <= jobs; i++) {
    await client.add({ t: now() })
    await handled(contender, i)
    await sleep(randomInt(30))
  }
  await client.close()
  const { delays } = contender.ran
  return { p50: percentile(delays, 0.5), p99: percentile(delays, 0.99) }
}
