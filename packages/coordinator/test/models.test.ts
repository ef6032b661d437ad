import { PROTOCOL } from '@earshot/contract'
import { registerNode } from '@earshot/db/functions/nodes'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../test/helpers/database.ts'
import { createAliases } from '../src/models/aliases.ts'
import { createModels, type Models } from '../src/models/registry.ts'

let held: TestDatabase
let models: Models
const talks = (more: object = {}) => ({ kinds: ['generate'], engine: 'ollama', ...more })
const NODES = {
  study: {
    models: {
      'small:1b': talks({ size_bytes: 1e9 }),
      'big:32b': talks({ size_bytes: 20e9, aliases: ['big'] }),
      flite: { kinds: ['speak'], engine: 'flite', voices: ['slt'] },
    },
  },
  attic: {
    models: {
      'small:1b': talks({ size_bytes: 1e9 }),
      'lexical-384': { kinds: ['vectors'], engine: 'lexical', dimensions: 384 },
      thorsten: { kinds: ['speak'], engine: 'piper', voices: ['thorsten'] },
    },
    not_offered: { 'huge:70b': 'It needs about 48 GB of memory; 21 GB are free.' },
  },
  barn: {
    models: {
      'lexical-384': { kinds: ['vectors'], engine: 'lexical', dimensions: 384 },
      'meaning-embed': { kinds: ['vectors'], engine: 'ollama', dimensions: 768 },
    },
  },
  cellar: { models: { 'away:7b': talks({ size_bytes: 90e9 }), odd: 'of another version' } },
}

const join = (id: string, roles: string[], capabilities: object) =>
  registerNode(held.db.pool, {
    id,
    name: id,
    host: null,
    port: null,
    version: '0',
    protocol: PROTOCOL,
    roles,
    tags: {},
    capabilities: { ...capabilities },
    slots: {},
  })

beforeAll(async () => {
  held = await testDatabase('embedded')
  for (const [id, capabilities] of Object.entries(NODES))
    await join(id, ['tts', 'llm_light', 'rag_engine'], capabilities)
  await held.db.pool.query(`update earshot.nodes set status = 'offline' where id = 'cellar'`)
  models = createModels({
    db: held.db.pool,
    aliases: createAliases({ 'gpt-4o-mini': 'big', 'my-model': 'nowhere:1b' }),
  })
})
afterAll(() => held[Symbol.asyncDispose]())

test('a model that nobody has is not found, with those there are; so is one of another kind, and one that a setting names', async () => {
  for (const asked of ['huge:405b', 'flite', 'my-model']) {
    await expect(models.pick('generate', asked)).rejects.toMatchObject({
      code: 'EARSHOT_UNKNOWN_MODEL',
      field: 'model',
      message: expect.stringContaining(asked),
      hint: 'There are: big:32b, small:1b.',
    })
  }
})

test('a model that only a node has that is away, and one for which there is no memory, are said to be so', async () => {
  await expect(models.pick('generate', 'away:7b')).rejects.toMatchObject({
    code: 'EARSHOT_NO_NODE',
    message: 'No node that is up offers model "away:7b". It is on cellar, which is away.',
  })
  await expect(models.pick('generate', 'huge:70b')).rejects.toMatchObject({
    code: 'EARSHOT_NO_NODE',
    message: expect.stringContaining('attic has it: It needs about 48 GB'),
  })
})

test('nobody hears speech: that is said', async () => {
  await expect(models.pick('transcribe', 'whisper-1')).rejects.toMatchObject({
    code: 'EARSHOT_NO_NODE',
    message: 'No node of this mesh hears speech.',
  })
})

test('a model is meant by its name, by another name of it, and by one that a setting gives it', async () => {
  for (const asked of ['big:32b', 'big', 'gpt-4o-mini'])
    expect(await models.pick('generate', asked)).toMatchObject({
      model: 'big:32b',
      requires: { 'model:big:32b': true },
    })
})

test('the names that clients have built in mean the largest model that is up, the small ones the smallest, and vectors that know meaning', async () => {
  expect(await models.pick('generate', 'gpt-4o')).toMatchObject({ model: 'big:32b' })
  expect(await models.pick('generate', 'gpt-3.5-turbo')).toMatchObject({ model: 'small:1b' })
  expect(await models.pick('vectors', 'text-embedding-3-small')).toMatchObject({
    model: 'meaning-embed',
    dimensions: 768,
  })
})

test('any name of a model of OpenAI is taken for speech, and means what it says', () => {
  const { builtIn } = createAliases({})
  for (const name of ['whisper-1', 'whisper-2', 'gpt-4o-transcribe-diarize', 'gpt-7-ears'])
    expect(builtIn('transcribe', name)).toBeTruthy()
  for (const name of ['tts-1-hd', 'tts-2', 'gpt-5-mini-tts', 'gpt-audio'])
    expect(builtIn('speak', name)).toBeTruthy()
  expect(builtIn('transcribe', 'gpt-4o-mini-tts')).toBe(false)
  expect(builtIn('speak', 'gpt-4o-transcribe')).toBe(false)
  for (const name of ['base.en', 'whisper-large-v3', 'flite'])
    expect(builtIn('transcribe', name) || builtIn('speak', name)).toBe(false)
})

test('a voice is spoken by the engine that has it; any will do where none is named, or nobody knows it', async () => {
  expect(await models.pick('speak', 'tts-1', { voice: 'thorsten' })).toMatchObject({
    model: 'thorsten',
  })
  expect(await models.pick('speak', 'tts-1')).toEqual({})
  expect(await models.pick('speak', 'tts-1', { voice: 'nobody' })).toEqual({})
})

test('a language goes to a model that hears it; where none does, those there are are named', async () => {
  const ears = (more: object) => ({ kinds: ['transcribe'], engine: 'whisper.cpp', ...more })
  const english = { languages: ['en'], translates: false }
  await join('parlour', ['stt_batch'], {
    models: {
      'whisper-base.en': ears({ ...english, aliases: ['base.en'] }),
      sphinx: ears(english),
    },
  })
  expect(await models.pick('transcribe', 'whisper-1', { language: 'en' })).toEqual({})
  await expect(models.pick('transcribe', 'whisper-1', { language: 'de' })).rejects.toMatchObject({
    code: 'EARSHOT_BAD_REQUEST',
    field: 'language',
    message: 'No model of this mesh can hear "de"; the languages there are: en.',
    hint: undefined,
  })
  await expect(models.pick('transcribe', 'whisper-1', { translate: true })).rejects.toMatchObject({
    code: 'EARSHOT_BAD_REQUEST',
    message: 'No model of this mesh can translate speech into English.',
  })
  // It knows all of Whisper's languages, since no one says otherwise.
  await join('loft', ['stt_batch'], { models: { 'faster-whisper': ears({}) } })
  for (const wish of [{ language: 'de' }, { translate: true }, { language: 'de', translate: true }])
    expect(await models.pick('transcribe', 'whisper-1', wish)).toEqual({})
  await expect(models.pick('transcribe', 'base.en', { language: 'de' })).rejects.toMatchObject({
    code: 'EARSHOT_BAD_REQUEST',
    field: 'language',
    message: 'Model "whisper-base.en" cannot hear "de"; it hears: en.',
    hint: 'Ask for faster-whisper.',
  })
  expect(await models.pick('transcribe', 'faster-whisper', { language: 'de' })).toMatchObject({
    model: 'faster-whisper',
  })
  await held.db.pool.query(`update earshot.nodes set status = 'offline' where id = 'loft'`)
  // What is known of the nodes is believed for a second.
  const later = createModels({ db: held.db.pool, aliases: createAliases({}) })
  await expect(later.pick('transcribe', 'whisper-1', { language: 'de' })).rejects.toMatchObject({
    code: 'EARSHOT_NO_NODE',
    message: expect.stringContaining('faster-whisper'),
  })
})
