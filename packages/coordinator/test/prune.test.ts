import { existsSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { submitDocument } from '@earshot/db/functions/documents'
import { acquireLeadership } from '@earshot/db/functions/leadership'
import { forgetMedia, pruneContent } from '@earshot/db/functions/retention'
import { silentLog } from '@earshot/shared/log'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { databases } from '../../../test/helpers/database.ts'
import { createRetention } from '../src/leader/retention.ts'
import { pruneMedia } from '../src/leader/prune-media.ts'
import { type Mesh, startMesh } from './mesh.ts'

describe.each(databases)('what is kept no longer, on %s', (kind) => {
  let mesh: Mesh
  beforeAll(async () => {
    mesh = await startMesh(kind)
  })
  beforeEach(async () => {
    await sql('truncate earshot.jobs, earshot.documents, earshot.media, earshot.artifacts cascade')
    await sql(`update earshot.settings set keep_speech = '90 days', keep_uploads = '7 days',
      keep_documents = null, keep_media = null`)
  })
  afterAll(() => mesh[Symbol.asyncDispose]())

  const sql = async <Row>(text: string, values: unknown[] = []) =>
    (await mesh.test.db.pool.query(text, values)).rows as Row[]
  const holder = () => ({ db: mesh.test.db, coordinatorId: 'here', media: mesh.media })
  const upload = async (text: string) => (await mesh.client.addMedia(new Blob([text]))).hash
  /** Makes all that is there old. */
  const age = async (by = '100 days') => {
    await sql(`update earshot.media set created_at = now() - $1::interval`, [by])
    await sql(`update earshot.artifacts set created_at = now() - $1::interval`, [by])
    await sql(
      `update earshot.documents set created_at = now() - $1::interval,
      ready_at = case when status = 'ready' then now() - $1::interval end`,
      [by],
    )
  }
  const document = async (hash: string) =>
    (
      await submitDocument(mesh.test.db.pool, {
        hash,
        size: 1,
        holder: 'here',
        path: mesh.media.path(hash),
        title: hash,
        kind: 'text',
      })
    ).document_id
  const end = () =>
    sql(`update earshot.jobs set status = 'completed', finished_at = now()`).then(() =>
      sql(`update earshot.documents set status = 'ready', ready_at = now()`),
    )
  const rows = async () =>
    (await sql<{ hash: string }>('select hash from earshot.media order by hash')).map(
      (row) => row.hash,
    )

  test('an old upload that nothing refers to goes with its file; what is referred to stays', async () => {
    const [loose, kept, spoken, wanted] = [
      await upload('loose'),
      await upload('kept'),
      await upload('spoken'),
      await upload('wanted'),
    ]
    await document(kept)
    await end()
    await sql(
      `insert into earshot.artifacts (kind, media_hash, mime) values ('speech', $1, 'audio/wav')`,
      [spoken],
    )
    await mesh.client.enqueue('transcribe', { media: wanted, store: false })
    await age('30 days')
    const young = await upload('young')

    await mesh.client.prune()
    expect(existsSync(mesh.media.path(loose))).toBe(true)
    expect((await mesh.client.prune()).things).toContainEqual({
      what: 'media',
      keep_s: 604_800,
      items: 1,
      bytes: 5,
    })
    await mesh.client.prune({ dry_run: false })
    expect(await rows()).toEqual([kept, spoken, wanted, young].toSorted())
    expect(existsSync(mesh.media.path(loose))).toBe(false)
    for (const hash of await rows()) expect(existsSync(mesh.media.path(hash))).toBe(true)

    // A file stays as long as one of two things refers to it.
    await document(spoken)
    await end()
    await age()
    await mesh.client.prune({ dry_run: false })
    expect(await sql('select id from earshot.artifacts')).toEqual([])
    expect(await rows()).toEqual([kept, spoken].toSorted())
  })

  test('documents and their originals stay for good unless the settings say otherwise', async () => {
    const [done, open] = [await upload('done'), await upload('open')]
    const id = await document(done)
    await end()
    const busy = await document(open)
    await sql(`insert into earshot.events (type, document_id) values ('document.ready', $1)`, [id])
    await age('1000 days')
    await mesh.client.prune({ dry_run: false })
    expect(await rows()).toEqual([done, open].toSorted())

    await sql(`update earshot.settings set keep_media = '1 day'`)
    await mesh.client.prune({ dry_run: false })
    expect(await rows()).toEqual([open])
    expect(existsSync(mesh.media.path(done))).toBe(false)

    await sql(`update earshot.settings set keep_documents = '1 day'`)
    await mesh.client.prune({ dry_run: false })
    expect(await sql('select id from earshot.documents')).toEqual([{ id: busy }])
    expect(
      await sql('select id from earshot.events where document_id = $1 and job_id is null', [id]),
    ).toEqual([])
  })

  test('a file of an inbox is never deleted', async () => {
    const hash = 'a'.repeat(64)
    const location = path.join(mesh.test.home, 'note.txt')
    writeFileSync(location, 'mine')
    await sql(`select earshot.take_inbox_file('here', 'note.txt', $1, 4, 1, $2, 'text')`, [
      location,
      hash,
    ])
    await end()
    await age()
    await sql(
      `update earshot.settings set keep_documents = '1 day', keep_media = '1 day', keep_uploads = '0'`,
    )
    await mesh.client.prune({ dry_run: false })
    expect(await sql('select id from earshot.documents')).toEqual([])
    expect(await rows()).toEqual([hash])
    await sql('delete from earshot.inbox_files')
    await mesh.client.prune({ dry_run: false })
    expect(await rows()).toEqual([])
    expect(existsSync(location)).toBe(true)
  })

  test('the leader deletes old speech by itself, and another coordinator does not', async () => {
    const hash = await upload('said')
    await sql(
      `insert into earshot.artifacts (kind, media_hash, mime) values ('speech', $1, 'audio/wav')`,
      [hash],
    )
    await age()
    expect(await pruneContent(mesh.test.db.pool, '0')).toBe(0)
    await sql(`update earshot.settings set leadership = '10 minutes'`)
    const term = await acquireLeadership(mesh.test.db.pool, 'keeper', true)
    const retention = createRetention({
      db: mesh.test.db,
      term: () => term,
      retention: { speech: 86_400 },
      log: silentLog(),
    })
    retention.start()
    retention.kick()
    await vi.waitFor(
      async () => expect(await sql('select id from earshot.artifacts')).toEqual([]),
      20_000,
    )
    await retention.stop()
    expect(
      await sql(`select keep_speech from earshot.settings where keep_speech = '1 day'`),
    ).toHaveLength(1)
    expect((await pruneMedia(holder(), '')).removed).toBe(1)
    expect(existsSync(mesh.media.path(hash))).toBe(false)
  })

  test('content that is sent again while it is removed is there afterwards, file and row', async () => {
    for (let round = 0; round < 20; round += 1) {
      const hash = await upload(`again ${round}`)
      await age()
      const [sent] = await Promise.all([upload(`again ${round}`), pruneMedia(holder(), '')])
      expect(sent).toBe(hash)
      expect(await rows()).toContain(hash)
      expect(existsSync(mesh.media.path(hash))).toBe(true)
    }
  })

  test.runIf(kind === 'postgres')(
    'media that an open transaction begins to refer to stays, and what goes first is refused there',
    async () => {
      const hash = await upload('late')
      await age()
      const other = new pg.Client({ connectionString: mesh.test.url })
      await other.connect()
      try {
        const submit = `select earshot.submit_jobs(jsonb_build_array(jsonb_build_object('kind', 'transcribe',
          'payload', jsonb_build_object('media', '${hash}', 'store', false))))`
        await other.query('begin')
        await other.query(submit)
        expect(await forgetMedia(mesh.test.db.pool, 'here', hash)).toBeNull()
        await other.query('commit')
        expect(await forgetMedia(mesh.test.db.pool, 'here', hash)).toBeNull()
        await sql('delete from earshot.jobs')
        expect(await forgetMedia(mesh.test.db.pool, 'here', hash)).toBe(mesh.media.path(hash))
        await expect(other.query(submit)).rejects.toThrow('no coordinator holds media')
      } finally {
        await other.end()
      }
    },
  )
})
