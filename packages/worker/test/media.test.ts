import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'
import { submitDocument } from '@earshot/shared/db/functions/documents'
import { greetCoordinator } from '@earshot/shared/db/functions/leadership'
import { expect, test } from 'vitest'
import { testDatabase } from '../../../test/helpers/database.ts'
import { createMediaClient } from '../src/media.ts'

const HASH = 'a'.repeat(64)

test('a holder that has not greeted for long is not tried: the job goes back without waiting for a time-out', async () => {
  await using held = await testDatabase('embedded')
  let tried = 0
  await using silent = createServer(() => { tried += 1 }).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`
  await greetCoordinator(held.db.pool, { id: 'desk', url, version: '1', protocol: 1 })
  await submitDocument(held.db.pool, { hash: HASH, size: 1, holder: 'desk', path: '/a.wav', title: 'a.wav', kind: 'audio' })
  await held.db.pool.query(`update earshot.coordinators set last_seen = now() - interval '2 minutes'`)
  const media = createMediaClient({ db: held.db, key: null })
  await expect(media.fetch(HASH, held.home, new AbortController().signal))
    .rejects.toMatchObject({ code: 'EARSHOT_UNREACHABLE', message: 'The coordinator that holds this media, desk, is away.' })
  expect(tried).toBe(0)
})
