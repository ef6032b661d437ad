import { execFile } from 'node:child_process'
import { access, readFile, readdir } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type TestDatabase, testDatabase } from '../helpers/database.ts'
import { type MeshProcess, startProcess } from '../helpers/mesh.ts'

const FOLDER = path.resolve(import.meta.dirname, '../../examples')

describe('the examples', () => {
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
  })
  afterAll(async () => {
    await mesh?.stop()
    await database?.[Symbol.asyncDispose]()
  })
  const run = async (example: string, ...args: string[]) => {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [path.join(FOLDER, example), ...args],
      {
        env: { PATH: process.env.PATH, EARSHOT_URL: mesh.announced.url },
        cwd: database.home,
      },
    )
    return stdout
  }

  test('are each under 60 lines, and all run here', async () => {
    const files = (await readdir(FOLDER, { recursive: true })).filter(
      (file) => file.endsWith('.ts') && !file.includes('node_modules'),
    )
    const own = await readFile(import.meta.filename, 'utf8')
    for (const file of files) {
      expect((await readFile(path.join(FOLDER, file), 'utf8')).split('\n').length).toBeLessThan(60)
      // packed.test.ts runs this one: it needs a server, and is for projects outside.
      if (!file.startsWith('custom-kind')) expect(own).toContain(`run('${file}'`)
    }
  })
  test('speak into a file, which the inbox takes in', async () => {
    const file = path.join(database.home, 'inbox', 'spoken.wav')
    expect(await run('speak.ts', 'the president of the country spoke', file)).toContain(
      'made by flite',
    )
    await access(file)
  })
  test('follow what happens until it can be found, and find it', async () => {
    expect(await run('follow.ts')).toMatch(/job\.queued[^]*job\.completed[^]*document\.ready/)
    expect(await run('search.ts', 'president')).toContain('spoken.wav at ')
    expect(await run('search.ts', 'xylophone')).toContain('No one said')
  })
})
