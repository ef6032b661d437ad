import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type TestDatabase, testDatabase } from '../helpers/database.ts'
import { type MeshProcess, startProcess } from '../helpers/mesh.ts'
import { runHostileRequests } from './hostile-requests.ts'

let database: TestDatabase
let mesh: MeshProcess
beforeAll(async () => {
  database = await testDatabase('embedded')
  await database.db.close()
  mesh = await startProcess('up', {
    EARSHOT_HOME: database.home,
    EARSHOT_INBOX: path.join(database.home, 'inbox'),
    EARSHOT_PORT: '0',
  })
}, 120_000)
afterAll(async () => {
  await mesh?.stop()
  await database?.[Symbol.asyncDispose]()
})

// `pnpm hostile` sends more, with any seed.
test('hostile requests are refused, each with an answer, and the health goes on', async () => {
  const run = await runHostileRequests({ url: mesh.announced.url!, seed: 1, requests: 600 })
  expect(run.broken).toEqual([])
  expect(run.hung).toEqual([])
  expect(run.healthFailures).toBe(0)
  expect(run.statuses['400']).toBeGreaterThan(100)
  expect(run.statuses['200'] ?? 0).toBeGreaterThan(20)
}, 120_000)
