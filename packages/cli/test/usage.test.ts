import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { earshot, emptyFolder, environment, MAIN, unusedAddress } from './helpers/run.ts'

const errorOf = (stdout: string) =>
  (
    JSON.parse(stdout) as {
      error: { code: string; message: string; field?: string; hint?: string }
    }
  ).error

describe('wrong use ends with 2 and says why', () => {
  test.each([
    ['an unknown command', ['serch', 'x'], 'Did you mean search?'],
    ['an unknown flag', ['jobs', '--limt', '3'], "unknown option '--limt'"],
    ['a missing argument', ['search'], "missing required argument 'query'"],
    ['a missing flag', ['say', 'hello'], "required option '-o, --output <file>' not specified"],
    ['a flag of no number', ['jobs', '--limit', 'many'], 'a whole number above 0'],
    [
      'a flag outside its choices',
      ['transcript', '3', '--format', 'doc'],
      'Allowed choices are txt, srt, vtt, json',
    ],
    ['an argument too many', ['job', '1', '2'], 'too many arguments'],
    ['an unknown db command', ['db', 'chek'], 'Did you mean check?'],
    ['no command at all', [], 'Usage: earshot'],
  ])('%s', async (_, args, expected) => {
    const { code, stdout, stderr } = await earshot(args)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain(expected)
    expect(stderr).not.toMatch(/\n +at /)
  })

  test('as JSON where JSON was asked for', async () => {
    const { code, stdout, stderr } = await earshot(['say', 'hello', '--json'])
    expect({ code, stderr }).toEqual({ code: 2, stderr: '' })
    expect(errorOf(stdout)).toMatchObject({
      code: 'EARSHOT_BAD_REQUEST',
      message: "Required option '-o, --output <file>' not specified.",
    })
  })
})

describe('bad settings end with 2', () => {
  test('and every bad key is named, whichever command it is', async () => {
    const cwd = emptyFolder()
    writeFileSync(path.join(cwd, '.env'), 'EARSHOT_PROT=1\n')
    writeFileSync(path.join(cwd, 'config.yaml'), 'node:\n  port: high\n')
    const { code, stderr } = await earshot(['up', '--port', 'x'], {
      cwd,
      env: { EARSHOT_KEY: 'not a key' },
    })
    expect(code).toBe(2)
    for (const key of [
      '--port is "x"',
      'EARSHOT_KEY (environment)',
      '.env:EARSHOT_PROT',
      'config.yaml:node.port is "high"',
    ])
      expect(stderr).toContain(key)
    expect(stderr).not.toContain('not a key')
    expect(readdirSync(cwd).sort()).toEqual(['.env', 'config.yaml'])
  })

  test('as does a settings file that is not there', async () => {
    const { code, stdout } = await earshot(['jobs', '--config', 'missing.yaml', '--json'])
    expect(code).toBe(2)
    expect(errorOf(stdout)).toMatchObject({
      code: 'EARSHOT_BAD_CONFIG',
      field: '--config',
      message: expect.stringContaining('there is no such file'),
    })
  })

  test.each(['worker', 'coordinator'])(
    'as does %s without DATABASE_URL, in one sentence',
    async (command) => {
      const { code, stderr } = await earshot([command])
      expect(code).toBe(2)
      expect(stderr).toMatch(
        new RegExp(
          `^earshot: earshot ${command} needs DATABASE_URL, [^\\n]+\\n  On one machine alone, earshot up needs no server\\.\\n$`,
        ),
      )
    },
  )
})

describe('where no mesh answers', () => {
  test.each([
    ['add', ['add', 'talk.mp3', '--wait']],
    ['say', ['say', 'hello', '-o', 'a.wav']],
    ['search', ['search', 'two words']],
    ['transcript', ['transcript', '3']],
    ['jobs', ['jobs']],
    ['job', ['job', '1']],
    ['cancel', ['cancel', '1', '2']],
    ['why', ['why', '1']],
    ['jobs retry', ['jobs', 'retry', '1']],
    ['node drain', ['node', 'drain', 'box']],
    ['nodes', ['nodes']],
  ])('%s ends with 3 and says where it asked', async (_, args) => {
    const cwd = emptyFolder()
    writeFileSync(path.join(cwd, 'talk.mp3'), 'not much')
    const EARSHOT_URL = await unusedAddress()
    const { code, stdout, stderr } = await earshot(args, { cwd, env: { EARSHOT_URL } })
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' })
    expect(stderr).toContain(`No Earshot mesh answers at ${EARSHOT_URL} (ECONNREFUSED).`)
    expect(readdirSync(cwd)).toEqual(['talk.mp3'])
  })

  test('the error is JSON where JSON was asked for', async () => {
    const { code, stdout, stderr } = await earshot(['nodes', '--json'], {
      env: { EARSHOT_URL: await unusedAddress() },
    })
    expect({ code, stderr }).toEqual({ code: 3, stderr: '' })
    expect(errorOf(stdout)).toMatchObject({ code: 'EARSHOT_UNREACHABLE', hint: expect.any(String) })
  })

  test('a flag tells another address than the environment', async () => {
    const url = await unusedAddress()
    expect(
      (await earshot(['jobs', '--url', url], { env: { EARSHOT_URL: 'http://127.0.0.1:1' } }))
        .stderr,
    ).toContain(url)
  })

  test('what cannot be added is told before anybody is asked', async () => {
    const cwd = emptyFolder()
    mkdirSync(path.join(cwd, 'x.wav'))
    writeFileSync(path.join(cwd, 'empty.wav'), '')
    const { code, stdout } = await earshot(['add', 'gone.wav', 'x.wav', 'empty.wav', '--json'], {
      cwd,
      env: { EARSHOT_URL: await unusedAddress() },
    })
    expect(code).toBe(1)
    const { documents } = JSON.parse(stdout) as {
      documents: { file: string; error: { code: string; message: string } }[]
    }
    expect(documents.map(({ error }) => error.code)).toEqual([
      'EARSHOT_NOT_FOUND',
      'EARSHOT_MEDIA_REFUSED',
      'EARSHOT_MEDIA_EMPTY',
    ])
    expect(documents[1]?.error.message).toBe('x.wav is a folder; only files can be added.')
  })
})

describe('the database of one machine', () => {
  test('is not created by looking at it', async () => {
    const cwd = emptyFolder()
    const env = { EARSHOT_URL: await unusedAddress() }
    const check = await earshot(['db', 'check', '--json'], { cwd, env })
    expect(check.code).toBe(1)
    expect(JSON.parse(check.stdout)).toMatchObject({
      ok: false,
      database: 'embedded',
      version: null,
      advice: [expect.stringContaining('npm start')],
    })
    expect(JSON.parse((await earshot(['db', 'nodes', '--json'], { cwd, env })).stdout)).toEqual({
      nodes: [],
    })
    const dry = await earshot(['db', 'init', '--dry-run', '--show-sql'], { cwd, env })
    expect(dry.code).toBe(0)
    expect(dry.stdout).toContain('-- migrations/0001_mesh.sql')
    expect(dry.stdout).toMatch(/create table/i)
    expect(readdirSync(cwd)).toEqual([])
  })

  test('a reader that closes the pipe early is no error', async () => {
    const child = spawn(process.execPath, [MAIN, 'db', 'init', '--dry-run', '--show-sql'], {
      cwd: emptyFolder(),
      env: environment({ EARSHOT_URL: await unusedAddress() }),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    child.stdout.destroy()
    const [stderr, [code]] = await Promise.all([
      text(child.stderr),
      once(child, 'close') as Promise<[number]>,
    ])
    expect({ code, stderr: stderr.replace(/^ {2}migrations.*\n|^Would apply.*\n/gm, '') }).toEqual({
      code: 0,
      stderr: '',
    })
  })
})

test('Ctrl-C ends a command that waits with 130, SIGTERM with 143, without a word of blame', async () => {
  // A listener that never answers: what the command asks for stays open until it is interrupted.
  for (const [signal, expected] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    const asked = Promise.withResolvers<void>()
    const silent = createServer(() => asked.resolve()).listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const address = silent.address() as { port: number }
    const child = spawn(process.execPath, [MAIN, 'jobs'], {
      cwd: emptyFolder(),
      env: environment({ EARSHOT_URL: `http://127.0.0.1:${address.port}` }),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    await asked.promise
    child.kill(signal)
    const [stdout, stderr, [code]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, 'close') as Promise<[number]>,
    ])
    silent.closeAllConnections()
    silent.close()
    expect({ code, stdout, stderr }).toEqual({ code: expected, stdout: '', stderr: '' })
  }
})

describe('help', () => {
  test('of every command has an example and goes to standard output', async () => {
    const { stdout, code } = await earshot(['--help'])
    expect(code).toBe(0)
    const commands = [...stdout.slice(stdout.indexOf('Commands:')).matchAll(/^ {2}([a-z]+)/gm)].map(
      ([, name]) => [name ?? ''],
    )
    expect(commands.map(([name]) => name)).toEqual([
      'up',
      'coordinator',
      'worker',
      'add',
      'say',
      'search',
      'transcript',
      'jobs',
      'why',
      'job',
      'cancel',
      'prune',
      'kinds',
      'enqueue',
      'top',
      'nodes',
      'node',
      'models',
      'db',
      'doctor',
    ])
    for (const words of [
      ...commands.filter(([name]) => name !== 'db' && name !== 'node' && name !== 'models'),
      ['db', 'check'],
      ['db', 'init'],
      ['db', 'nodes'],
      ['node', 'drain'],
      ['node', 'resume'],
      ['node', 'quarantine'],
      ['jobs', 'retry'],
      ['jobs', 'cancel'],
      ['models', 'list'],
      ['models', 'pull'],
      ['models', 'rm'],
      ['models', 'use'],
    ]) {
      const help = await earshot([...words, '--help'])
      expect(help.code).toBe(0)
      expect(help.stdout, words.join(' ')).toMatch(
        new RegExp(`Example: .*earshot ${words.join(' ')}`),
      )
    }
  })

  test('and the documents know every command', async () => {
    const document = readFileSync(path.resolve(import.meta.dirname, '../../../docs/cli.md'), 'utf8')
    for (const name of [
      'up',
      'coordinator',
      'worker',
      'add',
      'say',
      'search',
      'transcript',
      'jobs',
      'why',
      'job',
      'cancel',
      'prune',
      'kinds',
      'enqueue',
      'top',
      'nodes',
      'models list',
      'models pull',
      'models rm',
      'models use',
      'db check',
      'db init',
      'db nodes',
      'doctor',
    ]) {
      expect(document, name).toMatch(new RegExp(`^\\| \`${name}[ \`]`, 'm'))
    }
  })
})
