import { leaseSeconds } from '@earshot/shared/db/functions/nodes'
import { describe, expect, test } from 'vitest'
import { databases, testDatabase } from '../../../test/helpers/database.ts'

describe.runIf(databases.includes('postgres'))('calling functions on a server', () => {
  test('goes on behind a transaction pooler, where a statement that was prepared may be on another connection', async () => {
    await using held = await testDatabase('postgres')
    const { pool } = held.db
    const client = await pool.connect()
    try {
      expect(await leaseSeconds(client)).toBe(15)
      // What it looks like when the pooler hands out a server connection that never saw the statement.
      await client.query('deallocate all')
      expect(await leaseSeconds(client)).toBe(15)
      // And one on which somebody else prepared it under the same name.
      await client.query(`prepare lease_seconds as select 1`)
      expect(await leaseSeconds(client)).toBe(15)
    } finally {
      client.release()
    }
  })
})
