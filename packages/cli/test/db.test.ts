import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { databases, testDatabase } from '../../../test/helpers/database.ts'
import { earshot, unusedAddress } from './helpers/run.ts'

type Report = {
  ok: boolean
  version: number
  latest: number
  pending: string[]
  vector: string | null
  advice: string[]
}

async function alone(env: Record<string, string>): Promise<Record<string, string>> {
  return { EARSHOT_URL: await unusedAddress(), ...env }
}

describe.runIf(databases.includes('postgres'))('db, on a server', () => {
  test('that nobody answers at, or that refuses: one sentence, exit code 1, and no password', async () => {
    const gone = (await unusedAddress()).replace('http://', 'postgres://ada:hunter2@')
    const { code, stdout, stderr } = await earshot(['db', 'check'], {
      env: await alone({ DATABASE_URL: `${gone}/mesh` }),
    })
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(/^earshot: [^\n]+\.\n/)
    expect(stderr).not.toContain('hunter2')
  })

  test('without a schema: check says so and changes nothing, init creates it, also twice at once', async () => {
    await using mesh = await testDatabase('postgres')
    await mesh.db.pool.query('drop schema earshot cascade')
    const env = await alone({ DATABASE_URL: mesh.url ?? '' })
    const before = await earshot(['db', 'check', '--json'], { env })
    expect(before.code).toBe(1)
    expect(JSON.parse(before.stdout)).toMatchObject({
      ok: false,
      database: 'postgres',
      version: 0,
      advice: ['Run: earshot db init'],
    })
    expect(JSON.parse((await earshot(['db', 'nodes', '--json'], { env })).stdout)).toEqual({
      nodes: [],
    })

    const dry = JSON.parse(
      (await earshot(['db', 'init', '--dry-run', '--show-sql', '--json'], { env })).stdout,
    ) as { applied: string[]; sql: { name: string }[] }
    expect(dry.applied.length).toBeGreaterThan(0)
    expect(dry.sql.map(({ name }) => name)).toEqual(expect.arrayContaining(dry.applied))
    expect((await mesh.db.pool.query(`select to_regnamespace('earshot') as schema`)).rows).toEqual([
      { schema: null },
    ])

    const both = await Promise.all([
      earshot(['db', 'init', '--json'], { env }),
      earshot(['db', 'init', '--json'], { env }),
    ])
    expect(both.map(({ code, stderr }) => [code, stderr])).toEqual([
      [0, ''],
      [0, ''],
    ])
    expect(
      both.flatMap(({ stdout }) => (JSON.parse(stdout) as { applied: string[] }).applied).sort(),
    ).toEqual(dry.applied)
    const after = await earshot(['db', 'check', '--json'], { env })
    expect(JSON.parse(after.stdout)).toMatchObject({
      ok: true,
      pending: [],
      advice: [],
    } satisfies Partial<Report>)
    expect(after.code).toBe(0)
  })

  test('without pgvector, for a user who may not create it: check prints the line for a superuser', async () => {
    await using mesh = await testDatabase('postgres')
    const name = `limited_${randomBytes(4).toString('hex')}`
    await mesh.db.pool.query(`create role ${name} login password 'x'`)
    await mesh.db.pool.query('drop schema earshot cascade')
    await mesh.db.pool.query('drop extension if exists vector cascade')
    const url = new URL(mesh.url ?? '')
    url.username = name
    url.password = 'x'
    const { code, stdout } = await earshot(['db', 'check', '--json'], {
      env: await alone({ DATABASE_URL: url.href }),
    })
    await mesh.db.pool.query(`drop role ${name}`)
    expect(code).toBe(1)
    expect(JSON.parse(stdout)).toMatchObject({
      ok: false,
      vector: null,
      advice: ['Run once in this database as superuser: create extension vector schema public;'],
    })
  })

  test('nodes are read from the database where no mesh answers', async () => {
    await using mesh = await testDatabase('postgres')
    await mesh.db.pool.query(
      `select earshot.register_node('linux-01', 'Study', '10.0.0.5', 7, '0.1.0', 1, array['tts'], '{"cores":4}', '{}', '{"tts":2}')`,
    )
    const env = await alone({ DATABASE_URL: mesh.url ?? '' })
    expect(
      (
        JSON.parse((await earshot(['db', 'nodes', '--json'], { env })).stdout) as {
          nodes: unknown[]
        }
      ).nodes,
    ).toMatchObject([{ id: 'linux-01', status: 'online', roles: ['tts'] }])
    const { stdout } = await earshot(['db', 'nodes'], { env })
    expect(stdout).toMatch(/^NODE +STATUS +HOST +ROLES/)
    expect(stdout).toMatch(/linux-01 +online +10\.0\.0\.5 +tts +4 cores +0 +/)
    expect(stdout).not.toContain('\u001b')
  })

  test('a worker does not create the schema: it says that it is missing', async () => {
    await using mesh = await testDatabase('postgres')
    await mesh.db.pool.query('drop schema earshot cascade')
    const { code, stdout } = await earshot(['worker', '--json'], {
      env: await alone({ DATABASE_URL: mesh.url ?? '' }),
    })
    expect(code).toBe(1)
    expect(JSON.parse(stdout)).toMatchObject({
      error: { code: 'EARSHOT_SCHEMA_MISSING', hint: expect.stringContaining('earshot db init') },
    })
    expect((await mesh.db.pool.query(`select to_regnamespace('earshot') as schema`)).rows).toEqual([
      { schema: null },
    ])
  })
})

describe('db, on the embedded database', () => {
  test('is refused while another process has it open, and works once that is gone', async () => {
    await using mesh = await testDatabase('embedded')
    const env = await alone({ EARSHOT_HOME: mesh.home })
    const refused = await earshot(['db', 'init', '--json'], { env })
    expect(refused.code).toBe(1)
    expect(JSON.parse(refused.stdout)).toMatchObject({ error: { code: 'EARSHOT_DATABASE_IN_USE' } })
    await mesh.db.close()
    expect(JSON.parse((await earshot(['db', 'init', '--json'], { env })).stdout)).toEqual({
      dry_run: false,
      applied: [],
      functions: [],
    })
    expect(JSON.parse((await earshot(['db', 'check', '--json'], { env })).stdout)).toMatchObject({
      ok: true,
      database: 'embedded',
      mesh: null,
    })
  })
})
