import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFile, symlink, writeFile } from 'node:fs/promises'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import path from 'node:path'
import { type NodeProof, submitDocument } from '@earshot/db/functions/documents'
import { registerNode } from '@earshot/db/functions/nodes'
import type { Database } from '@earshot/db/database'
import { PROTOCOL } from '@earshot/contract'
import { touchCoordinator } from '@earshot/db/functions/leadership'
import { expect, test } from 'vitest'
import { testDatabase } from '../../../test/helpers/database.ts'
import { createMediaClient } from '../src/media/client.ts'

const HASH = 'a'.repeat(64)

/** A node that has joined, with what it shows the database at each call. */
async function joined(db: Database): Promise<() => NodeProof> {
  const registration = { id: 'n1', name: 'n1', host: null, port: null, version: '0' }
  const offer = { roles: [], tags: {}, capabilities: {}, slots: {} }
  const token = 'drawn'
  const incarnation = await registerNode(
    db.pool,
    { ...registration, ...offer, protocol: PROTOCOL },
    token,
  )
  return () => ({ id: 'n1', incarnation, token })
}

test('a holder that has not greeted for long is not tried: the job goes back without waiting for a time-out', async () => {
  await using held = await testDatabase('embedded')
  let tried = 0
  await using silent = createServer(() => {
    tried += 1
  }).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`
  await touchCoordinator(held.db.pool, { id: 'desk', url, version: '1', protocol: 1 })
  await submitDocument(held.db.pool, {
    hash: HASH,
    size: 1,
    holder: 'desk',
    path: '/a.wav',
    title: 'a.wav',
    kind: 'audio',
  })
  await held.db.pool.query(
    `update earshot.coordinators set last_seen = now() - interval '2 minutes'`,
  )
  const media = createMediaClient({ db: held.db, key: null, node: await joined(held.db) })
  await expect(media.fetch(HASH, held.home, new AbortController().signal)).rejects.toMatchObject({
    code: 'EARSHOT_UNREACHABLE',
    message: 'The coordinator that holds this media, desk, is away.',
  })
  expect(tried).toBe(0)
})

test('what one holder has lost is waited for while another that holds it is away', async () => {
  await using held = await testDatabase('embedded')
  await using lost = createHttpServer(
    (_, response) => void response.writeHead(410).end('{}'),
  ).listen(0, '127.0.0.1')
  await once(lost, 'listening')
  const url = `http://127.0.0.1:${(lost.address() as AddressInfo).port}`
  for (const id of ['desk', 'attic']) {
    await touchCoordinator(held.db.pool, { id, url, version: '1', protocol: 1 })
    await submitDocument(held.db.pool, {
      hash: HASH,
      size: 1,
      holder: id,
      path: `/${id}/a.wav`,
      title: 'a.wav',
      kind: 'audio',
    })
  }
  const media = createMediaClient({ db: held.db, key: null, node: await joined(held.db) })
  const { signal } = new AbortController()
  const both = () => Promise.all([media.fetch(HASH, held.home, signal), media.verify(HASH, signal)])
  await expect(both()).rejects.toMatchObject({ code: 'EARSHOT_MEDIA_GONE' })
  await held.db.pool.query(
    `update earshot.coordinators set last_seen = now() - interval '2 minutes' where id = 'attic'`,
  )
  await expect(media.fetch(HASH, held.home, signal)).rejects.toMatchObject({
    code: 'EARSHOT_UNREACHABLE',
    message: 'The coordinator that holds this media, attic, is away.',
  })
})

test('what lies on a disk of this box is read there, and only when its content is what was asked for', async () => {
  await using held = await testDatabase('embedded')
  const [content, name] = ['words words words', path.join(held.home, 'a.txt')]
  const hash = createHash('sha256').update(content).digest('hex')
  await touchCoordinator(held.db.pool, {
    id: 'desk',
    url: 'http://127.0.0.1:1',
    version: '1',
    protocol: 1,
  })
  await submitDocument(held.db.pool, {
    hash,
    size: content.length,
    holder: 'desk',
    path: name,
    title: 'a.txt',
    kind: 'text',
  })
  const media = createMediaClient({ db: held.db, key: null, node: await joined(held.db) })
  const fetch = () => media.fetch(hash, path.join(held.home, 'job'), new AbortController().signal)
  for (const make of [() => writeFile(name, 'other other other'), () => writeFile(name, 'short')]) {
    await make()
    await expect(fetch()).rejects.toMatchObject({ code: 'EARSHOT_UNREACHABLE' })
  }
  expect(media.shares()).toEqual([])
  await writeFile(name, content)
  const copy = await fetch()
  expect(copy).not.toBe(name)
  expect(await readFile(copy, 'utf8')).toBe(content)
  expect(media.shares()).toEqual(['desk'])
  await symlink(name, path.join(held.home, 'link'))
  await held.db.pool.query('update earshot.media set path = $1', [path.join(held.home, 'link')])
  await expect(fetch()).rejects.toMatchObject({ code: 'EARSHOT_UNREACHABLE' })
})
