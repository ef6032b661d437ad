import { nodeChannel } from '@earshot/shared/db/functions/nodes'
import { describe, expect, test } from 'vitest'
import { databases, testDatabase } from '../helpers/database.ts'
import { assignAll, join, speak } from './fixture.ts'

describe.each(databases)('assigning on %s', (kind) => {
  test('tells the node at once, which would otherwise find its job two seconds later', async () => {
    await using test_ = await testDatabase(kind)
    const { db } = test_
    const incarnation = await join(db, 'n1')
    await join(db, 'n2')
    const told: string[] = []
    const heard = Promise.withResolvers<string>()
    const channels = await Promise.all(['n1', 'n2'].map((id) => nodeChannel(db.pool, id)))
    const hear = (channel: string) => (payload: string) => {
      told.push(channel)
      heard.resolve(payload)
    }
    await db.listen(Object.fromEntries(channels.map((channel) => [channel, hear(channel)])), () => {})
    await speak(db)
    await assignAll(db, 'n1', incarnation)
    expect(await heard.promise).toBe('')
    expect(told).toEqual([channels[0]])
  })
})
