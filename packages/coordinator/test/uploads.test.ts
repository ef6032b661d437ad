import { stat } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createMediaStore } from '@earshot/shared/media/store'
import { type TestDatabase, testDatabase } from '../../../test/helpers/database.ts'
import { createUploads } from '../src/http/openai/uploads.ts'

let own: TestDatabase
beforeAll(async () => {
  own = await testDatabase('embedded')
})
afterAll(() => own[Symbol.asyncDispose]())

test('a recording that comes again while it is dropped is kept', async () => {
  const store = await createMediaStore(own.home)
  const uploads = createUploads({ db: own.db.pool, store, holder: 'here' })
  const keep = () => uploads.keep(Readable.from([Buffer.from('the same')]), { maxBytes: 100 })
  for (let round = 0; round < 20; round++) {
    const first = await keep()
    const [second, third] = await Promise.all([keep(), keep(), first[Symbol.asyncDispose]()])
    expect((await stat(store.path(second.hash))).size).toBe(8)
    await second[Symbol.asyncDispose]()
    expect((await stat(store.path(second.hash))).size).toBe(8)
    const dropping = third[Symbol.asyncDispose]()
    const fourth = await keep()
    await dropping
    expect(await store.has(fourth.hash)).toBe(true)
    await fourth[Symbol.asyncDispose]()
    expect(await store.has(fourth.hash)).toBe(false)
  }
  const { rows } = await own.db.pool.query('select from earshot.media')
  expect(rows).toEqual([])
})
