import { submitDocument } from '@earshot/db/functions/documents'
import { submitJobs } from '@earshot/db/functions/jobs'
import { updateOffer } from '@earshot/db/functions/nodes'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type TestDatabase, databases, testDatabase } from '../helpers/database.ts'
import { assignAll, finish, jobRow, join } from './fixture.ts'

const HASH = 'c'.repeat(64)

describe.each(databases)('jobs for engines, on %s', (kind) => {
  let held: TestDatabase
  beforeAll(async () => {
    held = await testDatabase(kind)
    await submitDocument(held.db.pool, {
      hash: HASH,
      size: 1,
      holder: 'desk',
      path: '/a.wav',
      title: 'a.wav',
      kind: 'audio',
    })
    await held.db.pool.query('select earshot.cancel_jobs(array(select id from earshot.jobs))')
    await held.db.pool.query('delete from earshot.documents')
  })
  afterAll(async () => {
    await held[Symbol.asyncDispose]()
  })
  const pool = () => held.db.pool
  const documents = async () => (await pool().query('select id from earshot.documents')).rowCount

  test('words without a document are refused for a document, and for media that nobody holds', async () => {
    await expect(
      submitJobs(pool(), [
        { kind: 'transcribe', payload: { media: HASH, store: false, document_id: 1 } },
      ]),
    ).rejects.toThrow('with store false there is no document')
    await expect(
      submitJobs(pool(), [
        { kind: 'transcribe', payload: { media: 'd'.repeat(64), store: false } },
      ]),
    ).rejects.toThrow('no coordinator holds media')
  })

  test("words without a document are the job's result, and nothing else is left of them", async () => {
    const incarnation = await join(held.db, 'ears')
    const [made] = await submitJobs(pool(), [
      { kind: 'transcribe', payload: { media: HASH, store: false } },
    ])
    const [job] = await assignAll(held.db, 'ears', incarnation)
    const output = {
      duration_s: 1,
      engine: 'x',
      model: 'm',
      text: 'hello',
      segments: [{ start_s: 0, end_s: 1, text: 'hello', confidence: null, words: [] }],
    }
    expect(await finish(held.db, 'ears', incarnation, job!, { output })).toBe('done')
    expect(await jobRow(held.db, made!.id)).toMatchObject({
      status: 'completed',
      result: output,
      document_id: null,
    })
    expect(await documents()).toBe(0)
    expect(await assignAll(held.db, 'ears', incarnation)).toEqual([])
  })

  test("a model that is asked for is required of the node; in a kind of the users' own the field means nothing", async () => {
    const [chat] = await submitJobs(pool(), [
      { kind: 'generate', payload: { model: 'small:1b', messages: [] }, requires: { gpu: true } },
    ])
    const { rows } = await pool().query(
      'select role, requires, class from earshot.jobs where id = $1',
      [chat!.id],
    )
    expect(rows).toEqual([
      { role: 'llm_light', requires: { gpu: true, 'model:small:1b': true }, class: 'batch' },
    ])
    await pool().query(`select earshot.register_kinds('[{"kind": "car", "role": "cars"}]')`)
    const [car] = await submitJobs(pool(), [{ kind: 'car', payload: { model: 'T' } }])
    expect(
      (await pool().query('select requires from earshot.jobs where id = $1', [car!.id])).rows,
    ).toEqual([{ requires: {} }])
    await pool().query('select earshot.cancel_jobs($1)', [[chat!.id, car!.id]])
  })

  test('a language that is to be heard is required of the node, and that it translates', async () => {
    const asked = [
      { language: 'de' },
      { language: 'de', translate: true },
      { translate: true, model: 'm' },
      { language: 'en', translate: true },
      {},
    ]
    const made = await submitJobs(
      pool(),
      asked.map((more) => ({
        kind: 'transcribe',
        payload: { media: HASH, store: false, ...more },
      })),
    )
    const { rows } = await pool().query(
      'select requires from earshot.jobs where id = any ($1) order by id',
      [made.map(({ id }) => id)],
    )
    expect(rows.map(({ requires }) => requires)).toEqual([
      { languages: '*,de,*' },
      { languages: '*,de,*', translates: true },
      { 'model:m': true, translates: true },
      { languages: '*,en,*' },
      {},
    ])
    await pool().query('select earshot.cancel_jobs($1)', [made.map(({ id }) => id)])
  })

  test('a recording that somebody waits for is turned to another node that hears its language, and to no other', async () => {
    const ears = { roles: ['stt_batch'], tags: { languages: ',de,en,' } }
    const first = await join(held.db, 'first ears', ears)
    await join(held.db, 'english ears', { ...ears, tags: { languages: ',en,' } })
    const fail = async (incarnation: number, node: string) => {
      const {
        rows: [made],
      } = await pool().query<{ id: number }>(
        'select earshot.submit_awaited_job($1, interval $$1 minute$$)::int as id',
        [{ kind: 'transcribe', payload: { media: HASH, store: false, language: 'de' } }],
      )
      const [job] = await assignAll(held.db, node, incarnation)
      await finish(held.db, node, incarnation, job!, {
        error: { code: 'EARSHOT_ENGINE_FAILED', message: 'It broke.', verdict: 'job' },
      })
      const {
        rows: [row],
      } = await pool().query(
        'select requires -> $$node$$ as node from earshot.jobs where id = $1',
        [made!.id],
      )
      await pool().query('select earshot.cancel_jobs($1)', [[made!.id]])
      return row!.node as unknown
    }
    expect(await fail(first, 'first ears')).toBeNull()
    await join(held.db, 'second ears', ears)
    expect(await fail(first, 'first ears')).toEqual({ not: 'first ears' })
    await pool().query('delete from earshot.nodes where id like $$% ears$$')
  })

  test('what an engine made is kept with its model and what sort of file it is', async () => {
    const incarnation = await join(held.db, 'mouth')
    const [made] = await submitJobs(pool(), [{ kind: 'speak', payload: { text: 'hello' } }])
    const [job] = await assignAll(held.db, 'mouth', incarnation)
    expect(
      await finish(held.db, 'mouth', incarnation, job!, {
        output: { media: HASH, duration_s: 1, engine: 'x', model: 'm', mime: 'audio/mpeg' },
      }),
    ).toBe('done')
    expect((await jobRow(held.db, made!.id)).result).toEqual({
      artifact_id: expect.any(Number),
      duration_s: 1,
      engine: 'x',
      model: 'm',
      mime: 'audio/mpeg',
    })
    expect((await pool().query('select mime from earshot.artifacts')).rows).toEqual([
      { mime: 'audio/mpeg' },
    ])
  })

  test('a node may offer anew, unless a newer process took its place', async () => {
    const old = await join(held.db, 'box', { roles: ['tts'] })
    const offer = {
      id: 'box',
      roles: ['tts', 'llm_light'],
      tags: { 'model:m': true },
      capabilities: { models: { m: {} } },
      slots: { tts: 1, llm_light: 2 },
    }
    expect(await updateOffer(pool(), old, offer)).toBe(true)
    const read = async () =>
      (
        await pool().query(
          `select roles, tags, capabilities, slots from earshot.nodes where id = 'box'`,
        )
      ).rows[0]
    const { id: _, ...offered } = offer
    expect(await read()).toEqual(offered)
    await join(held.db, 'box', { roles: ['tts'] })
    expect(await updateOffer(pool(), old, offer)).toBe(false)
    expect((await read()).roles).toEqual(['tts'])
  })
})
