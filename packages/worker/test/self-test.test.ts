import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { EarshotError } from '@earshot/contract'
import { silentLog } from '@earshot/shared/log'
import { expect, test } from 'vitest'
import { wavHeader } from '../src/audio/wav.ts'
import type { Engine, SpeechToText, TextToSpeech } from '../src/engines/engine.ts'
import { createFlite } from '../src/engines/flite.ts'
import { createPocketsphinx } from '../src/engines/pocketsphinx.ts'
import { createRegistry } from '../src/engines/registry.ts'
import { readFailures, startSelfTest } from '../src/self-test.ts'
import { tempFolder } from './helpers/media.ts'

const root = await tempFolder()
const about = { probe: async () => ({ available: true }), models: async () => [] }
const ear = (name: string, transcribe: SpeechToText['transcribe']): SpeechToText => ({
  ...about,
  name,
  kind: 'transcribe',
  transcribe,
})
const mouth = (name: string, speak: TextToSpeech['speak']): TextToSpeech => ({
  ...about,
  name,
  kind: 'speak',
  speak,
})

async function prove(home: string, ...all: Engine[]) {
  const serving = all.map((engine) => ({
    engine,
    models: [
      {
        name: `${engine.name}-model`,
        size_bytes: 1,
        ...(engine.name === 'german' ? { languages: ['de'] } : {}),
      },
    ],
  }))
  const engines = createRegistry(() => found)
  const found = { serving, notOffered: {}, defaults: {} }
  let changes = 0
  const speeds: number[] = []
  const test = startSelfTest({
    engines,
    home,
    log: silentLog(),
    onChange: () => {
      changes += 1
    },
    onSpeed: (_, seconds, { duration_s }) => speeds.push(duration_s / seconds),
    afterMs: 0,
  })
  await test.done
  return {
    engines,
    changes,
    speeds,
    offered: engines.serving.map(({ engine }) => engine.name),
    models: Object.fromEntries(
      engines.serving.flatMap(({ models }) => models.map((model) => [model.name, model])),
    ),
  }
}

test('engines that cannot hear, cannot speak or break are not offered, each with its reason; the others are, with their speed', async () => {
  const home = path.join(root, 'mixed')
  const silent = mouth('silent', async ({ out }) => {
    await writeFile(out, Buffer.concat([wavHeader(32_000), Buffer.alloc(32_000)]))
    return { duration_s: 1 }
  })
  const deaf = ear('deaf', async () => ({ words: [] }))
  const babbling = ear('babbling', async ({ duration_s }) => ({
    words: [],
    segments: [
      { start_s: 0, end_s: duration_s, text: 'Thanks for watching!', confidence: 1, words: [] },
    ],
  }))
  const broken = ear('broken', async () => {
    throw new EarshotError('EARSHOT_ENGINE_FAILED', 'whisper.cpp was ended by SIGSEGV.')
  })
  const { engines, offered, models, speeds, changes } = await prove(
    home,
    silent,
    createFlite(),
    deaf,
    babbling,
    broken,
    createPocketsphinx(),
  )
  expect(offered).toEqual(['flite', 'pocketsphinx'])
  expect(engines.notOffered).toEqual({
    silent: 'It was to say a sentence and gave silence.',
    deaf: expect.stringMatching(/^It was to hear ".+" and heard nothing\.$/),
    babbling: expect.stringContaining('and heard "thanks for watching!"'),
    broken: 'whisper.cpp was ended by SIGSEGV.',
  })
  expect(models['flite-model']).toMatchObject({ rtf: expect.any(Number), load_s: 0 })
  expect(models['pocketsphinx-model']!.rtf).toBeGreaterThan(0)
  expect(speeds[0]).toBeCloseTo(models['pocketsphinx-model']!.rtf!, 1)
  expect(changes).toBeGreaterThan(0)
  expect(await readFailures(home)).toEqual(engines.notOffered)
})

test('a voice that is hard to understand, a language that is not English, and a full disk are not held against who hears', async () => {
  const home = path.join(root, 'accent')
  const foreign = mouth('foreign', async ({ out }) => {
    await writeFile(out, Buffer.concat([wavHeader(32_000), Buffer.alloc(32_000, 'noise')]))
    return { duration_s: 1 }
  })
  const full = ear('full', async () => {
    throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' })
  })
  const strict = ear('strict', async ({ wav }) => ({
    words: [],
    segments: [
      {
        start_s: 0,
        end_s: 1,
        text: wav.includes('foreign') ? 'Wetter.' : 'The weather report says rain.',
        confidence: 1,
        words: [],
      },
    ],
  }))
  const german = ear('german', async () => ({ words: [{ text: 'Wetter', start_s: 0, end_s: 1 }] }))
  const { engines, offered, models } = await prove(
    home,
    foreign,
    createFlite(),
    strict,
    full,
    german,
  )
  expect({ offered, notOffered: engines.notOffered }).toEqual({
    offered: ['foreign', 'flite', 'strict', 'full', 'german'],
    notOffered: {},
  })
  expect(models['strict-model']!.rtf).toBeGreaterThan(0)
  expect(models['full-model']).not.toHaveProperty('rtf')
  // Known voices speak again for an ear that has not proved itself.
  expect(
    (await prove(home, foreign, createFlite(), strict, ear('new', strict.transcribe))).offered,
  ).toEqual(['foreign', 'flite', 'strict', 'new'])
})

test('what proved itself is not tried again, what failed is', async () => {
  const home = path.join(root, 'again')
  let [heard, spoke, fails] = [0, 0, true]
  const good = ear('good', async () => {
    heard += 1
    return {
      words: [],
      segments: [
        { start_s: 0, end_s: 1, text: 'The weather report says rain.', confidence: 1, words: [] },
      ],
    }
  })
  const flaky = ear('flaky', async () => {
    if (fails) throw new EarshotError('EARSHOT_ENGINE_FAILED', 'Out of order.')
    return {
      words: [
        { text: 'weather', start_s: 0, end_s: 1 },
        { text: 'rain', start_s: 0, end_s: 1 },
        { text: 'morning', start_s: 0, end_s: 1 },
      ],
    }
  })
  const flite = createFlite()
  const speaker = mouth('speaker', async (input) => {
    spoke += 1
    return flite.speak({ ...input, model: undefined })
  })
  expect((await prove(home, speaker, good, flaky)).offered).toEqual(['speaker', 'good'])
  fails = false
  const second = await prove(home, speaker, good, flaky)
  expect(second.offered).toEqual(['speaker', 'good', 'flaky'])
  expect(second.models['good-model']!.rtf).toBeGreaterThan(0)
  const third = await prove(home, speaker, good, flaky)
  expect({ heard, spoke, offered: third.offered }).toEqual({
    heard: 1,
    spoke: 2,
    offered: ['speaker', 'good', 'flaky'],
  })
  expect(await readFailures(home)).toEqual({})
})

test('a worker that stops breaks it off, and nothing is held against the engine', async () => {
  const began = Promise.withResolvers<void>()
  const slow = mouth(
    'slow',
    ({ signal }) =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason))
        began.resolve()
      }),
  )
  const engines = createRegistry(() => found)
  const found = {
    serving: [{ engine: slow, models: [{ name: 'slow-model', size_bytes: 1 }] }],
    notOffered: {},
    defaults: {},
  }
  const test = startSelfTest({
    engines,
    home: path.join(root, 'stopped'),
    log: silentLog(),
    onChange: () => {},
    onSpeed: () => {},
    afterMs: 0,
  })
  await began.promise
  await test.stop()
  expect(engines.notOffered).toEqual({})
  expect(await readFailures(path.join(root, 'stopped'))).toEqual({})
})
