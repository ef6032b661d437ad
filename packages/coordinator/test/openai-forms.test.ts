import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TranscriptionFields } from '../src/http/openai/transcriptions.ts'
import { formatHeard } from '../src/http/openai/transcript-formats.ts'
import { type Mesh, startMesh } from './mesh.ts'

let mesh: Mesh
beforeAll(async () => {
  mesh = await startMesh('embedded')
})
afterAll(() => mesh[Symbol.asyncDispose]())

const read = (fields: object) => TranscriptionFields.parse({ model: 'whisper-1', ...fields })

describe('what clients of OpenAI write', () => {
  test.each([
    ['word,segment', ['word', 'segment']],
    [['word'], ['word']],
    ['segment', ['segment']],
  ])('granularities: %j', (given, wanted) => {
    expect(read({ timestamp_granularities: given }).timestamp_granularities).toEqual(wanted)
  })

  test.each([
    ['True', true],
    ['False', false],
    ['1', true],
  ])('a flag: %s', (given, wanted) => {
    expect(read({ stream: given }).stream).toBe(wanted)
  })

  test('a language with a space behind it', () => {
    expect(read({ language: 'en ' }).language).toBe('en')
  })

  test.each([
    ['en', 'english'],
    ['de', 'german'],
    ['en-US', 'english'],
    ['zh', 'chinese'],
    ['yue', 'cantonese'],
    ['tl', 'tagalog'],
    [null, 'unknown'],
    ['xq', 'xq'],
  ])('verbose_json names the language %s %s', (language, name) => {
    const { body } = formatHeard(
      { duration_s: 1, language, segments: [], engine: 'x' },
      'verbose_json',
      { task: 'transcribe', words: false, segments: true },
    )
    expect(JSON.parse(body)).toMatchObject({ language: name })
  })

  const send = async (parts: string) => {
    const body = `${parts.replaceAll('\n', '\r\n')}--x--\r\n`
    const response = await fetch(`${mesh.url}/v1/audio/transcriptions`, {
      method: 'POST',
      headers: { 'content-type': 'multipart/form-data; boundary=x' },
      body,
    })
    return (await response.json()) as { error: { code: string; message: string; param: string } }
  }
  const model = '--x\ncontent-disposition: form-data; name="model"\n\nwhisper-1\n'
  const file = '--x\ncontent-disposition: form-data; name="file"; filename="a"\n\nRIFF\n'

  test('a file without a name is a file', async () => {
    const { error } = await send(
      `${model}--x\ncontent-disposition: form-data; name="file"\ncontent-type: audio/wav\n\nRIFF\n`,
    )
    expect(error.code).toBe('EARSHOT_NO_NODE')
  })

  test('the entries of a list may be numbered', async () => {
    const field = '--x\ncontent-disposition: form-data; name="timestamp_granularities[0]"\n\n'
    expect((await send(`${file}${model}${field}nonsense\n`)).error.param).toMatch(
      /^timestamp_granularities/,
    )
    expect((await send(`${file}${model}${field}word\n`)).error.code).toBe('EARSHOT_NO_NODE')
  })

  test.each(['/v1/models/', '/v1//models', '//v1/models'])('a slash too many: %s', async (path) => {
    const response = await fetch(mesh.url + path)
    expect(await response.json()).toEqual({ object: 'list', data: [] })
  })

  test('a route that is not there says so in their words', async () => {
    const response = await fetch(`${mesh.url}/v1/nothing`)
    expect([response.status, await response.json()]).toEqual([
      404,
      {
        error: expect.objectContaining({
          code: 'EARSHOT_NOT_FOUND',
          type: 'invalid_request_error',
          param: null,
        }),
      },
    ])
  })
})
