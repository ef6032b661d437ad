import { registerKinds } from '@earshot/db/functions/kinds'
import { submitJobs } from '@earshot/db/functions/jobs'
import { defineKind, z } from '@earshot/contract'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type TestDatabase, databases, testDatabase } from '../helpers/database.ts'

const thumbnail = defineKind({
  kind: 'thumbnail',
  role: 'images',
  payload: z.object({ image: z.string(), width: z.number().default(200) }),
  result: z.object({ bytes: z.number() }),
  priority: 5,
  maxTries: 7,
  class: 'interactive',
}).registration

describe.each(databases)("kinds of the users' own, on %s", (kind) => {
  let held: TestDatabase
  beforeAll(async () => {
    held = await testDatabase(kind)
  })
  afterAll(async () => {
    await held[Symbol.asyncDispose]()
  })
  const pool = () => held.db.pool

  test('one that nobody knows is refused by name, with those that there are', async () => {
    await expect(submitJobs(pool(), [{ kind: 'thumbnail', payload: {} }])).rejects.toMatchObject({
      code: 'EARSHOT_BAD_REQUEST',
      message:
        'Job 1: no kind is called "thumbnail"; there are: embed, generate, read, speak, transcribe, vectors.',
    })
    await expect(pool().query(`select earshot.submit_job('thumbnail')`)).rejects.toThrow(
      'no kind is called "thumbnail"',
    )
  })

  test.each([
    [
      'the name of a built-in kind',
      { ...thumbnail, kind: 'speak' },
      '"speak" is a kind of Earshot\'s own',
    ],
    [
      'a role of a built-in kind',
      { ...thumbnail, role: 'rag_engine' },
      'Role "rag_engine" belongs to Earshot\'s own kinds',
    ],
    [
      'a name that is none',
      { ...thumbnail, kind: 'Thumb nail' },
      '"Thumb nail" is no name for a kind',
    ],
    ['a role that is none', { ...thumbnail, role: '*' }, '"*" is no role for kind "thumbnail"'],
  ])('%s is refused, and all that came with it', async (_, wrong, message) => {
    await expect(
      registerKinds(pool(), [{ ...thumbnail, kind: 'good' }, wrong]),
    ).rejects.toMatchObject({
      code: 'EARSHOT_BAD_REQUEST',
      message: expect.stringContaining(message),
    })
    expect((await pool().query(`select from earshot.job_kinds where kind = 'good'`)).rowCount).toBe(
      0,
    )
  })

  test('one that was registered may be submitted, as it was defined, when it has what it must have', async () => {
    expect(await registerKinds(pool(), [thumbnail])).toEqual(['thumbnail'])
    expect(await registerKinds(pool(), [thumbnail])).toEqual([])
    await expect(
      submitJobs(pool(), [{ kind: 'thumbnail', payload: { width: 3 } }]),
    ).rejects.toThrow('payload of kind "thumbnail" needs: image.')
    // What means something in a kind of Earshot's own means nothing here.
    const [job] = await submitJobs(pool(), [
      { kind: 'thumbnail', payload: { image: 'a.png', document_id: 'not a number' } },
    ])
    const { rows } = await pool().query(
      'select role, priority, max_tries, class, document_id from earshot.jobs where id = $1',
      [job!.id],
    )
    expect(rows).toEqual([
      { role: 'images', priority: 5, max_tries: 7, class: 'interactive', document_id: null },
    ])
  })

  test('the newest definition counts, but the role stays while jobs wait in its lane', async () => {
    expect(await registerKinds(pool(), [{ ...thumbnail, priority: 9 }])).toEqual(['thumbnail'])
    const moved = { ...thumbnail, role: 'pictures' }
    await expect(registerKinds(pool(), [moved])).rejects.toThrow(
      'Kind "thumbnail" has open jobs, which need role "images"',
    )
    await pool().query(
      `select earshot.cancel_jobs(array(select id from earshot.jobs where kind = 'thumbnail'))`,
    )
    expect(await registerKinds(pool(), [moved])).toEqual(['thumbnail'])
  })

  test('kinds that share a role require a node that has them, whichever way they are submitted; one that is alone in its role requires nothing', async () => {
    const kinds = ['crop', 'turn'].map((name) => ({ ...thumbnail, kind: name, role: 'scissors' }))
    const requires = async (ids: number[]) =>
      (
        await pool().query('select requires from earshot.jobs where id = any ($1) order by id', [
          ids,
        ])
      ).rows.map((row) => row.requires)
    await registerKinds(pool(), [kinds[0]!])
    const payload = { image: 'a.png' }
    const [alone] = await submitJobs(pool(), [{ kind: 'crop', payload }])
    expect(await requires([alone!.id])).toEqual([{}])
    await registerKinds(pool(), [kinds[1]!])
    const many = await submitJobs(pool(), [
      { kind: 'crop', payload },
      { kind: 'turn', payload, requires: { gpu: true } },
    ])
    const [keyed] = await submitJobs(pool(), [{ kind: 'turn', payload, idempotency_key: 'once' }])
    const {
      rows: [one],
    } = await pool().query(`select earshot.submit_job('crop', '{"image": "b.png"}') as id`)
    expect(await requires([...many.map(({ id }) => id), keyed!.id, one.id])).toEqual([
      { 'kind:crop': true },
      { 'kind:turn': true, gpu: true },
      { 'kind:turn': true },
      { 'kind:crop': true },
    ])
  })

  test("a worker's role of the database may register them", async () => {
    await held.db.transaction(async (client) => {
      await client.query('set local role earshot_worker')
      await registerKinds(client, [{ ...thumbnail, kind: 'another' }])
    })
  })
})
