import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { silentLog } from '@earshot/shared/log'
import { touchCoordinator } from '@earshot/db/functions/leadership'
import { PROTOCOL } from '@earshot/contract'
import { expect, test } from 'vitest'
import { testDatabase } from '../../../test/helpers/database.ts'
import { proveKey } from '../src/prove-key.ts'

test('a wrong or missing key is told before the node joins; the right one, or nobody to ask, lets it join', async () => {
  await using held = await testDatabase('embedded')
  const log = silentLog()
  const prove = (key: string | null) => proveKey({ db: held.db, key, log })
  await prove('anything')
  await using server = createServer((request, response) => {
    response.writeHead(request.headers.authorization === 'Bearer right' ? 200 : 401).end('{}')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const coordinator = { version: '1', protocol: PROTOCOL }
  await touchCoordinator(held.db.pool, { id: 'desk', url, ...coordinator })
  // Seen last, and so asked first: it does not answer.
  await touchCoordinator(held.db.pool, { id: 'off', url: 'http://127.0.0.1:1', ...coordinator })
  for (const key of ['wrong', null])
    await expect(prove(key)).rejects.toMatchObject({
      code: 'EARSHOT_BAD_CONFIG',
      field: 'EARSHOT_KEY',
    })
  await prove('right')
})
