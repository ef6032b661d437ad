import type { JobView } from '@earshot/contract'
import type { Database } from '@earshot/db/database'
import { cancelUnawaitedJobs } from '@earshot/db/functions/waiters'
import { handBackJobs, submitJobs } from '@earshot/db/functions/jobs'
import { acquireLeadership } from '@earshot/db/functions/leadership'
import { silentLog } from '@earshot/shared/log'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { databases, type TestDatabase, testDatabase } from '../../../test/helpers/database.ts'
import { createAwaitedJobs, type Delta, type AwaitedJobs } from '../src/jobs/awaited-jobs.ts'
import { readJobs } from '../src/queries/jobs.ts'
import { explain } from '../src/why/explain.ts'
import { readFacts } from '../src/why/read.ts'
import { joinNode, type NodeByHand } from './node-by-hand.ts'

const SPEAK = { kind: 'speak', payload: { text: 'The kettle is on.' } }
const ANSWER = { kind: 'answer', payload: {} }
const never = new AbortController().signal
const FAILURE = {
  code: 'EARSHOT_ENGINE_FAILED',
  message: 'The engine broke.',
  verdict: 'job',
} as const

type Stage = AsyncDisposable & {
  test: TestDatabase
  awaitedJobs: AwaitedJobs
  node: NodeByHand
  heard: Delta[]
  statusOf(id: number): Promise<string>
  /** How every view says that a job ended: the job, why, and the error of its row. */
  endOf(id: number): Promise<{ status: string; error: JobView['error']; why: string }>
}

/** Someone who waits, and a node whose every step the test takes itself. */
async function stage(held: TestDatabase, waitMs = 60_000, db = held.db): Promise<Stage> {
  await held.db.pool.query('truncate earshot.jobs, earshot.node_registry cascade')
  const awaitedJobs = createAwaitedJobs({
    db,
    waitMs,
    url: () => 'http://127.0.0.1:1',
    log: silentLog(),
  })
  awaitedJobs.start()
  return {
    test: held,
    awaitedJobs,
    node: await joinNode(held.db),
    heard: [],
    statusOf: async (id) =>
      (
        await held.db.pool.query<{ status: string }>(
          'select status from earshot.jobs where id = $1',
          [id],
        )
      ).rows[0]!.status,
    async endOf(id) {
      const [job] = await readJobs(held.db.pool, { ids: [id], limit: 1 }, () => null)
      const why = explain((await readFacts(held.db, id))!).sentence
      return { status: job!.status, error: job!.error, why }
    },
    async [Symbol.asyncDispose]() {
      await awaitedJobs.stop(AbortSignal.abort())
    },
  }
}

/**
 * The database, but the first answer to the query of this name stays on its way until `arrive` is
 * called.
 */
function tardy(db: Database, name: string): { db: Database; sent: Promise<void>; arrive(): void } {
  const sent = Promise.withResolvers<void>()
  const arrival = Promise.withResolvers<void>()
  let first = true
  const query = async (asked: { name?: string; text: string }) => {
    const late = first && asked.name === name
    if (late) first = false
    const answer = await db.pool.query(asked)
    if (late) sent.resolve()
    if (late) await arrival.promise
    return answer
  }
  const pool = new Proxy(db.pool, {
    get: (target, key) => (key === 'query' ? query : Reflect.get(target, key, target)),
  })
  return { db: { ...db, pool }, sent: sent.promise, arrive: arrival.resolve }
}

describe.each(databases)('an answer that somebody waits for (%s)', (kind) => {
  let held: TestDatabase
  beforeAll(async () => {
    held = await testDatabase(kind)
    await held.db.pool.query('update earshot.settings set doorbell = false')
    await held.db.pool.query(
      `insert into earshot.job_kinds (kind, role, built_in, required) values ('answer', 'tts', false, '{}')`,
    )
  })
  afterAll(() => held[Symbol.asyncDispose]())

  test('whoever goes away leaves nothing queued, and nothing running', async () => {
    await using s = await stage(held)
    const gone = new AbortController()
    const running = await s.awaitedJobs.ask(SPEAK, { withinS: 60, signal: gone.signal })
    const queued = await s.awaitedJobs.ask(SPEAK, { withinS: 60, signal: gone.signal })
    expect((await s.node.take()).id).toBe(running.id)
    gone.abort(new Error('gone'))
    await expect(queued.answer).rejects.toThrow('gone')
    await expect(running.answer).rejects.toThrow('gone')
    await expect
      .poll(() => s.endOf(queued.id))
      .toMatchObject({
        status: 'cancelled',
        error: { code: 'EARSHOT_CANCELLED', message: expect.stringContaining('gone') },
        why: expect.stringContaining('gone'),
      })
    await expect.poll(() => s.statusOf(running.id)).toBe('cancelled')
    await expect(s.awaitedJobs.ask(SPEAK, { withinS: 60, signal: gone.signal })).rejects.toThrow(
      'gone',
    )
  })

  test('a job that no node begins with fails after a while, and it is said what it waited for', async () => {
    await using s = await stage(held, 50)
    const asked = await s.awaitedJobs.ask(
      { ...SPEAK, requires: { gpu: 'nvidia-*' } },
      { withinS: 60, signal: never },
    )
    await expect(asked.answer).rejects.toMatchObject({
      code: 'EARSHOT_NO_NODE',
      message: expect.stringContaining('gpu'),
    })
    await expect
      .poll(() => s.endOf(asked.id))
      .toMatchObject({
        status: 'failed',
        error: {
          code: 'EARSHOT_NO_NODE',
          message: expect.stringContaining('No node began with it'),
        },
        why: expect.stringContaining('No node began with it'),
      })
  })

  test('what a job fails with is what whoever waits gets; what goes back is tried again, unseen', async () => {
    await using s = await stage(held)
    const asked = await s.awaitedJobs.ask(
      { ...ANSWER, max_tries: 1 },
      { withinS: 60, signal: never },
    )
    const first = await s.node.take()
    await handBackJobs(s.test.db.pool, s.node.id, s.node.incarnation, [first], {
      sentence: 'It stopped.',
    })
    const second = await s.node.take()
    expect([second.id, second.attempt]).toEqual([asked.id, 2])
    await s.node.finish(second, { error: FAILURE })
    await expect(asked.answer).rejects.toMatchObject({
      code: 'EARSHOT_ENGINE_FAILED',
      message: 'The engine broke.',
    })
  })

  test('what failed on two nodes, or twice on the only one, is told at once', async () => {
    await using s = await stage(held)
    const { pool } = s.test.db
    const asked = await s.awaitedJobs.ask(ANSWER, { withinS: 60, signal: never })
    const first = await s.node.take()
    await s.node.finish(first, { error: FAILURE })
    // There is no other node: it rests, as usual.
    const {
      rows: [resting],
    } = await pool.query('select status, due from earshot.jobs where id = $1', [asked.id])
    expect(resting).toEqual({ status: 'pending', due: false })
    await joinNode(s.test.db, 'other')
    await pool.query('update earshot.jobs set due = true, run_at = now() where id = $1', [asked.id])
    const second = await s.node.take()
    await s.node.finish(second, {
      error: {
        code: 'EARSHOT_ENGINE_MISSING',
        message: 'The model needs 40 GB of memory.',
        verdict: 'node',
      },
    })
    await expect(asked.answer).rejects.toMatchObject({
      code: 'EARSHOT_ENGINE_MISSING',
      message: expect.stringContaining('40 GB'),
    })
    await expect
      .poll(() => s.endOf(asked.id))
      .toMatchObject({
        status: 'failed',
        error: { code: 'EARSHOT_ENGINE_MISSING', message: expect.stringContaining('40 GB') },
        why: expect.stringContaining('40 GB'),
      })
  })

  test('what the only node says that it lacks is told at once', async () => {
    await using s = await stage(held)
    const asked = await s.awaitedJobs.ask(ANSWER, { withinS: 60, signal: never })
    await s.node.finish(await s.node.take(), {
      error: {
        code: 'EARSHOT_ENGINE_MISSING',
        message: 'Ollama does not answer.',
        verdict: 'node',
      },
    })
    await expect(asked.answer).rejects.toMatchObject({
      code: 'EARSHOT_ENGINE_MISSING',
      message: expect.stringContaining('Ollama does not answer.'),
    })
    await expect
      .poll(() => s.endOf(asked.id))
      .toMatchObject({
        status: 'failed',
        error: {
          code: 'EARSHOT_ENGINE_MISSING',
          message: expect.stringContaining('Ollama does not answer.'),
        },
        why: expect.stringContaining('Ollama does not answer.'),
      })
  })

  test('what fails goes at once to another node that has what it needs, once', async () => {
    await using s = await stage(held)
    const { pool } = s.test.db
    await joinNode(s.test.db, 'other')
    const asked = await s.awaitedJobs.ask(
      { ...ANSWER, requires: { platform: 'linux' } },
      { withinS: 60, signal: never },
    )
    await s.node.finish(await s.node.take(), { error: FAILURE })
    const {
      rows: [turned],
    } = await pool.query('select status, due, requires from earshot.jobs where id = $1', [asked.id])
    expect(turned).toEqual({
      status: 'pending',
      due: true,
      requires: { platform: 'linux', node: { not: 'box' } },
    })
    // What no one waits for rests, as ever.
    const [{ id } = { id: 0 }] = await submitJobs(pool, [ANSWER])
    await pool.query('update earshot.jobs set due = false where id = $1', [asked.id])
    await s.node.finish(await s.node.take(), { error: FAILURE })
    const {
      rows: [resting],
    } = await pool.query('select due, requires from earshot.jobs where id = $1', [id])
    expect(resting).toEqual({ due: false, requires: {} })
  })

  test('an answer comes with the node that gave it', async () => {
    await using s = await stage(held)
    const asked = await s.awaitedJobs.ask(ANSWER, { withinS: 60, signal: never })
    await s.node.finish(await s.node.take(), { output: { words: 3 } })
    expect(await asked.answer).toEqual({ node: 'box', result: { words: 3 } })
  })
  const listen = async (s: Stage) =>
    s.awaitedJobs.ask(
      { ...ANSWER },
      { withinS: 60, signal: never, hear: (delta) => void s.heard.push(delta) },
    )

  test('that comes piece by piece is heard in order, and ends with what the worker said', async () => {
    await using s = await stage(held)
    const asked = await listen(s)
    const job = await s.node.take()
    expect(job.payload).toEqual({ reply_to: 'http://127.0.0.1:1' })
    const hearing = await s.awaitedJobs.hearing(job.id, job)
    await hearing.say({ content: 'Hel' })
    await hearing.say({ content: 'lo' })
    hearing.end({ output: { message: 'Hello' } })
    expect(await asked.answer).toEqual({ node: 'box', result: { message: 'Hello' } })
    expect(s.heard).toEqual([{ content: 'Hel' }, { content: 'lo' }])
    expect(hearing.over.aborted).toBe(true)
  })

  test('is heard also when its first word is quicker than the answer to its submission', async () => {
    const late = tardy(held.db, 'submit_awaited_job')
    await using s = await stage(held, undefined, late.db)
    const asking = listen(s)
    await late.sent
    const job = await s.node.take()
    const hearing = s.awaitedJobs.hearing(job.id, job)
    late.arrive()
    await (await hearing).say({ content: 'Well' })
    await asking
    expect(s.heard).toEqual([{ content: 'Well' }])
  })

  test('goes on when a look from before it began comes late', async () => {
    const late = tardy(held.db, 'http_awaited')
    await using s = await stage(held, undefined, late.db)
    const asked = await listen(s)
    await late.sent
    const job = await s.node.take()
    const hearing = await s.awaitedJobs.hearing(job.id, job)
    late.arrive()
    // The next look comes after that one.
    await s.node.finish(job, { output: { message: 'Yes' } })
    hearing.end({})
    expect(await asked.answer).toEqual({ node: 'box', result: { message: 'Yes' } })
  })

  test('that is so short that its report is quicker than its first word is heard all the same', async () => {
    await using s = await stage(held)
    const asked = await s.awaitedJobs.ask(ANSWER, {
      withinS: 60,
      signal: never,
      hear: (delta) => void s.heard.push(delta),
    })
    const job = await s.node.take()
    await s.node.finish(job, { output: { message: 'Yes' } })
    const hearing = await s.awaitedJobs.hearing(job.id, job).catch(() => undefined)
    await hearing?.say({ content: 'Yes' })
    hearing?.end({ output: { message: 'Yes' } })
    // Whichever came first: one answer, and whole.
    expect(await asked.answer).toEqual({ node: 'box', result: { message: 'Yes' } })
    const {
      rows: [row],
    } = await s.test.db.pool.query('select earshot.begin_answer($1, $2, $3) as again', [
      job.id,
      job.attempt,
      job.fence,
    ])
    expect(row).toEqual({ again: null })
  })

  test('is refused as a stream from another attempt, from one who is not its holder, from a second stream, and when nobody waits', async () => {
    await using s = await stage(held)
    const asked = await listen(s)
    const job = await s.node.take()
    const refused = { code: 'EARSHOT_CANCELLED' }
    await expect(
      s.awaitedJobs.hearing(job.id, { ...job, attempt: job.attempt + 1 }),
    ).rejects.toMatchObject(refused)
    await expect(
      s.awaitedJobs.hearing(job.id, { ...job, fence: String(BigInt(job.fence) ^ 1n) }),
    ).rejects.toMatchObject(refused)
    await expect(s.awaitedJobs.hearing(job.id + 1, { ...job, attempt: 1 })).rejects.toMatchObject(
      refused,
    )
    const hearing = await s.awaitedJobs.hearing(job.id, job)
    await expect(s.awaitedJobs.hearing(job.id, job)).rejects.toMatchObject(refused)
    hearing.end({ output: {} })
    await asked.answer
    await expect(s.awaitedJobs.hearing(job.id, job)).rejects.toMatchObject(refused)
  })

  test('that breaks off is not begun again: the job ends, and it is said why', async () => {
    await using s = await stage(held)
    const asked = await listen(s)
    const job = await s.node.take()
    const hearing = await s.awaitedJobs.hearing(job.id, job)
    await hearing.say({ content: 'Hel' })
    hearing.broken()
    await expect(asked.answer).rejects.toMatchObject({
      code: 'EARSHOT_ANSWER_CUT',
      message: expect.stringContaining('box'),
    })
    await expect
      .poll(() => s.endOf(job.id))
      .toMatchObject({
        status: 'failed',
        error: {
          code: 'EARSHOT_ANSWER_CUT',
          message: expect.stringContaining('The answer broke off'),
        },
        why: expect.stringContaining('The answer broke off'),
      })
  })

  test("that breaks off and is reported as failed, says the engine's own reason", async () => {
    await using s = await stage(held)
    const asked = await listen(s)
    const job = await s.node.take()
    const hearing = await s.awaitedJobs.hearing(job.id, job)
    hearing.broken()
    await s.node.finish(job, { error: FAILURE })
    await expect(asked.answer).rejects.toMatchObject({ code: 'EARSHOT_ENGINE_FAILED' })
    expect(await s.statusOf(job.id)).toBe('failed')
  })

  test('does not go back with its node, once it has begun', async () => {
    await using s = await stage(held)
    const asked = await listen(s)
    const job = await s.node.take()
    await s.awaitedJobs.hearing(job.id, job)
    await handBackJobs(s.test.db.pool, s.node.id, s.node.incarnation, [job], {
      sentence: 'Node box stopped.',
    })
    expect(await s.statusOf(job.id)).toBe('failed')
    await expect(asked.answer).rejects.toMatchObject({
      code: 'EARSHOT_ANSWER_CUT',
      message: expect.stringContaining('Node box stopped.'),
    })
  })
  test('of a coordinator that is gone leaves no job running for nobody; those of others go on', async () => {
    await using s = await stage(held)
    const { pool } = s.test.db
    const left = await s.awaitedJobs.ask(ANSWER, { withinS: 60, signal: never })
    const kept = await s.awaitedJobs.ask(ANSWER, { withinS: 60, signal: never })
    await pool.query(
      `update earshot.waiters set seen = seen - interval '1 minute' where job_id = $1`,
      [left.id],
    )
    const term = (await acquireLeadership(pool, 'test', true))!
    expect(await cancelUnawaitedJobs(pool, '0')).toEqual([])
    expect(await cancelUnawaitedJobs(pool, term)).toEqual([left.id])
    expect(await cancelUnawaitedJobs(pool, term)).toEqual([])
    expect(await s.statusOf(kept.id)).toBe('pending')
    await expect(left.answer).rejects.toMatchObject({ code: 'EARSHOT_CANCELLED' })
  })
})
