import path from 'node:path'
import { copyFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import type { ModelInfo, SpeechToText } from '../src/engines/engine.ts'
import { createRegistry } from '../src/engines/registry.ts'
import type { JobContext } from '../src/job-context.ts'
import { createTranscribe } from '../src/kinds/transcribe.ts'
import type { MediaClient } from '../src/media/client.ts'
import { makeMedia, silence, tempFolder } from './helpers/media.ts'

const dir = await tempFolder()
const source = await makeMedia(...silence(1), path.join(dir, 'source.wav'))
const media = {
  fetch: async () => {
    await copyFile(source, path.join(dir, 'media'))
    return path.join(dir, 'media')
  },
  verify: async () => {},
} as unknown as MediaClient
const context = {
  signal: new AbortController().signal,
  dir,
  progress: () => {},
  emit: () => {},
} as unknown as JobContext

test('a recording goes to the default model that hears its language, else to another one that does', async () => {
  const asked: (string | undefined)[] = []
  const ear = (name: string, ...models: ModelInfo[]) => {
    const engine: SpeechToText = {
      name,
      kind: 'transcribe',
      probe: async () => ({ available: true }),
      models: async () => models,
      transcribe: async ({ model }) => {
        asked.push(model)
        return { words: [] }
      },
    }
    return { engine, models }
  }
  const english = { size_bytes: null, languages: ['en'], translates: false }
  const serving = [
    ear('small', { name: 'sphinx', ...english }),
    ear('whisper', { name: 'base.en', ...english }, { name: 'base', size_bytes: null }),
  ]
  const known = { serving, notOffered: {}, defaults: {} }
  const transcribe = createTranscribe({
    media,
    engines: createRegistry(() => known),
    maxDurationS: 60,
  })
  for (const wish of [
    {},
    { language: 'en', translate: true },
    { language: 'de' },
    { translate: true },
    { language: 'de', model: 'base.en' },
  ])
    await transcribe({ media: 'a'.repeat(64), store: false, ...wish }, context)
  expect(asked).toEqual(['sphinx', 'sphinx', 'base', 'base', 'base.en'])
})
