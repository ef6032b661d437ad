import { chmod, mkdir, readdir, symlink, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { BYTES_PER_S, wavHeader } from '../src/audio/wav.ts'
import { createWhisperNode } from '../src/engines/whisper-node.ts'
import { thrownBy } from './helpers/engine-server.ts'
import { tempFolder } from './helpers/media.ts'
import { writeEmptyModel } from './helpers/whisper-model.ts'

const { signal } = new AbortController()
// With a space in its name, which must not reach a shell.
const root = await tempFolder()
const wav = path.join(root, 'audio.wav')
await writeFile(wav, Buffer.concat([wavHeader(2 * BYTES_PER_S), Buffer.alloc(2 * BYTES_PER_S, 7)]))

/**
 * What whisper-node 1.1.1 does, in short: goes to its own folder when it is loaded, hands a text to
 * a shell, drops the first line, tells failures to the console.
 */
const PACKAGE = `const { exec } = require('node:child_process'); const path = require('node:path')
  process.chdir(path.join(__dirname, '..', 'lib', 'whisper.cpp'))
  exports.whisper = async (file, { modelPath, whisperOptions, shellOptions }) => {
    try {
      const said = await new Promise((resolve, reject) => {
        const child = exec('./main ' + (whisperOptions.word_timestamps ? '-ml 1 ' : '') + '-l ' + whisperOptions.language + ' -m ' + modelPath + ' -f ' + file, { cwd: process.cwd() }, (err, out, bad) => err ? reject(bad) : resolve(out))
        if (!shellOptions.silent) { child.stdout.pipe(process.stdout); child.stderr.pipe(process.stderr) }
      })
      const lines = said.match(/\\[[0-9:.]+\\s-->\\s[0-9:.]+\\].*/g); lines.shift(); return lines
    } catch (error) { console.log('[whisper-node] Problem:', error) }
  }`

/** A home in which someone installed it, with this in the place of the program `main`. */
async function install(name: string, main?: string): Promise<string> {
  const home = path.join(root, name)
  const at = path.join(home, 'engines', 'node_modules', 'whisper-node')
  await mkdir(path.join(at, 'dist'), { recursive: true })
  await mkdir(path.join(at, 'lib', 'whisper.cpp'), { recursive: true })
  await writeFile(
    path.join(at, 'package.json'),
    JSON.stringify({ name: 'whisper-node', version: '1.1.1', main: 'dist/index.js' }),
  )
  await writeFile(path.join(at, 'dist', 'index.js'), PACKAGE)
  await writeEmptyModel(home, 'empty.en')
  await writeEmptyModel(home, 'empty', { multilingual: true })
  if (main !== undefined) {
    await writeFile(path.join(at, 'lib', 'whisper.cpp', 'main'), `#!/bin/sh\n${main}\n`)
    await chmod(path.join(at, 'lib', 'whisper.cpp', 'main'), 0o755)
  }
  return home
}
const hear = (home: string, more: object = {}) =>
  createWhisperNode({ home, quietLimitS: 60 }).transcribe({
    wav,
    duration_s: 2,
    model: 'whisper-node-empty.en',
    signal,
    ...more,
  })
const folders = async () =>
  (await readdir(os.tmpdir())).filter((name) => name.startsWith('earshot-whisper-node-'))

describe('whisper-node, when it is not all there', () => {
  test('not installed, without a model, or not built, it is a report that says what to do', async () => {
    expect(await createWhisperNode({ home: root }).probe()).toEqual({
      available: false,
      reason: 'whisper-node is not installed.',
      missing: 'whisper-node',
    })
    const home = await install('bare')
    expect(await createWhisperNode({ home }).probe()).toMatchObject({
      available: false,
      broken: true,
      reason: expect.stringMatching(/not built\. Run: make -C .+whisper\.cpp" main$/),
    })
  })
})

describe.skipIf(process.platform === 'win32')('whisper-node', () => {
  test('is offered with the models of whisper.cpp, under names of its own', async () => {
    const engine = createWhisperNode({ home: await install('offered', 'exit 0') })
    expect(await engine.probe()).toEqual({ available: true, version: '1.1.1' })
    expect((await engine.models()).toSorted((a, b) => a.name.localeCompare(b.name))).toMatchObject([
      { name: 'whisper-node-empty', translates: false },
      { name: 'whisper-node-empty.en', languages: ['en'] },
    ])
  })

  test('gives all that was heard, also the first line, as soon as it is; only names of ours reach its shell', async () => {
    const home = await install(
      'heard',
      `[ "$*" = "-l en -m ./model.bin -f audio.wav" ] || exit 9
      echo "[00:00:00.000 --> 00:00:01.000]   Hello there."; echo "[00:00:01.000 --> 00:00:09.500]   It is [Music] ] me."`,
    )
    const heard: string[] = []
    expect(
      await hear(home, {
        onHeard: (some: { text: string }[]) => heard.push(...some.map(({ text }) => text)),
      }),
    ).toEqual({
      words: [],
      language: 'en',
      segments: [
        { start_s: 0, end_s: 1, text: 'Hello there.', confidence: null, words: [] },
        { start_s: 1, end_s: 2, text: 'It is ] me.', confidence: null, words: [] },
      ],
    })
    expect(heard).toEqual(['Hello there.', 'It is ] me.'])
  })

  test('that hears nothing has not failed; one that breaks has, with its last words', async () => {
    expect(await hear(await install('nothing', 'exit 0'), { model: 'whisper-node-empty' })).toEqual(
      { words: [], segments: [] },
    )
    expect(
      await thrownBy(hear(await install('broken', 'echo "failed to initialize" >&2; exit 3'))),
    ).toMatchObject({
      code: 'EARSHOT_ENGINE_FAILED',
      message: expect.stringContaining('failed to initialize'),
    })
  })

  test('what it cannot do is refused', async () => {
    const home = await install('refuses', 'exit 0')
    expect(await thrownBy(hear(home, { language: 'de' }))).toMatchObject({
      code: 'EARSHOT_BAD_REQUEST',
      field: 'language',
    })
    expect(await thrownBy(hear(home, { translate: true }))).toMatchObject({
      code: 'EARSHOT_BAD_REQUEST',
      field: 'translate',
    })
  })

  test('an abort ends the program too, and leaves nothing', async () => {
    const home = await install(
      'slow',
      `echo "[00:00:00.000 --> 00:00:01.000]   Wait."; exec sleep 600`,
    )
    const abort = new AbortController()
    const reason = new Error('cancelled')
    const before = await folders()
    await expect(
      hear(home, { signal: abort.signal, onHeard: () => abort.abort(reason) }),
    ).rejects.toBe(reason)
    expect((await folders()).filter((name) => !before.includes(name))).toEqual([])
  })
})

/** A folder into which the real one was installed and built (docs/engines.md). */
const real = process.env.EARSHOT_TEST_WHISPER_NODE
describe.runIf(real !== undefined)('the real whisper-node', () => {
  test('hears nothing with a model that has no weights, and says why when the model is damaged', async () => {
    const home = path.join(root, 'real')
    await mkdir(home)
    await symlink(real!, path.join(home, 'engines'))
    await writeEmptyModel(home, 'empty.en')
    await writeEmptyModel(home, 'empty', { multilingual: true })
    const engine = createWhisperNode({ home })
    expect(await engine.probe()).toMatchObject({
      available: true,
      version: expect.stringMatching(/^1\./),
    })
    expect(await hear(home)).toEqual({ words: [], segments: [], language: 'en' })
    expect(await hear(home, { model: 'whisper-node-empty', language: 'de' })).toEqual({
      words: [],
      segments: [],
      language: 'de',
    })
    const file = await writeEmptyModel(home, 'bad.en')
    await writeFile(file, Buffer.from(Int32Array.from([0x67676d6c, 1, 2, 3]).buffer))
    expect(await thrownBy(hear(home, { model: 'whisper-node-bad.en' }))).toMatchObject({
      code: 'EARSHOT_ENGINE_FAILED',
    })
  })
})
