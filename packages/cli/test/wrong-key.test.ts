import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { databases, type TestDatabase, testDatabase } from '../../../test/helpers/database.ts'
import { earshot, type MeshProcess, startProcess } from '../../../test/helpers/mesh.ts'

describe.runIf(databases.includes('postgres'))('with the wrong key', () => {
  let database: TestDatabase
  let desk: MeshProcess
  beforeAll(async () => {
    database = await testDatabase('postgres')
    desk = await startProcess('coordinator', settings('desk', 'the-key-of-this-very-mesh'))
  })
  afterAll(async () => {
    await desk?.stop()
    await database[Symbol.asyncDispose]()
  })
  const settings = (name: string, key: string) => ({
    EARSHOT_HOME: path.join(database.home, name),
    EARSHOT_INBOX: path.join(database.home, 'inbox'),
    EARSHOT_PORT: '0',
    DATABASE_URL: database.url!,
    NODE_ID: name,
    EARSHOT_KEY: key,
  })

  test('a worker ends with code 2 and a sentence, and never joins', async () => {
    const { code, stderr } = await earshot(['worker'], settings('box', 'the-key-of-another-mesh'))
    expect(stderr).toMatch(/refuses this worker's key, so the worker does not join/)
    expect(stderr).toContain('EARSHOT_KEY')
    expect(code).toBe(2)
    const { rows } = await database.db.pool.query('select id from earshot.nodes')
    expect(rows).toEqual([])
  })

  test.each([
    ['the-key-of-another-mesh', 'missing'],
    ['the-key-of-this-very-mesh', 'ok'],
  ])('doctor asks the mesh: %s is %s', async (key, status) => {
    const { stdout } = await earshot(['doctor', '--json'], {
      ...settings('desk', key),
      EARSHOT_URL: desk.announced.url!,
    })
    const { checks } = JSON.parse(stdout) as { checks: { name: string; status: string }[] }
    expect(checks.find(({ name }) => name === 'key')).toMatchObject({ status })
  })
})
