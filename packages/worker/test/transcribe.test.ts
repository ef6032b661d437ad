import path from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Heard } from '../src/engines/engine.ts'
import type { Engines } from '../src/engines/registry.ts'
import { createTranscribe } from '../src/kinds/transcribe.ts'
import type { MediaClient } from '../src/media/client.ts'
import { makeMedia, silence, tempFolder, tone } from './helpers/media.ts'

const dir = await tempFolder()

/** Transcribes a file with a recogniser that answers the same to whatever it is given. */
async function transcribe(file: string, answer: Heard) {
  let asked = 0
  const engine = {
    name: 'ear',
    transcribe: async () => {
      asked++
      return answer
    },
  }
  const engines = { pick: () => undefined, need: () => ({ engine, model: { name: 'x' } }) }
  const media = { fetch: async () => file, verify: async () => {} }
  const run = createTranscribe({
    media: media as unknown as MediaClient,
    engines: engines as unknown as Engines,
    maxDurationS: 60,
  })
  const job = { media: 'sha256:x' } as Parameters<typeof run>[0]
  const output = await run(job, {
    signal: new AbortController().signal,
    dir,
    progress: () => {},
    emit: () => {},
  } as unknown as Parameters<typeof run>[1])
  return { output, asked }
}

const said = (text: string): Heard => ({
  words: [],
  segments: [{ start_s: 0, end_s: 1, text, confidence: 1, words: [] }],
})

describe('a recording without a word', () => {
  test('silence is not given to the recogniser, which would make up words', async () => {
    const file = await makeMedia(...silence(2), path.join(dir, 'silence.flac'))
    const { output, asked } = await transcribe(file, said('Thank you.'))
    expect(asked).toBe(0)
    expect(output).toMatchObject({ segments: [], no_speech: true, level_db: -100 })
  })

  test('sound in which the recogniser finds none says so with its level', async () => {
    const file = await makeMedia(...tone(2), path.join(dir, 'tone.flac'))
    for (const answer of [said(' '), { words: [] }])
      expect((await transcribe(file, answer)).output).toMatchObject({
        segments: [],
        no_speech: true,
        level_db: -21,
      })
  })

  test('one with words is no such recording', async () => {
    const file = await makeMedia(...tone(2), path.join(dir, 'words.flac'))
    expect((await transcribe(file, said('hello'))).output).not.toHaveProperty('no_speech')
  })
})
