import { isDeepStrictEqual } from 'node:util'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '@earshot/shared/config'
import { registerNode } from '@earshot/db/functions/nodes'
import { silentLog } from '@earshot/shared/log'
import { expect, test } from 'vitest'
import { testDatabase } from '../../../test/helpers/database.ts'
import type { Engine, ModelInfo } from '../src/engines/engine.ts'
import { type Known, createRegistry } from '../src/engines/registry.ts'
import type { MediaClient } from '../src/media/client.ts'
import type { Node } from '../src/node.ts'
import { createOffer } from '../src/offer.ts'
import { createOfferRefresh, tagsOf } from '../src/offer-refresh.ts'

const engine = (kind: Engine['kind'], more: object = {}) =>
  ({ kind, name: `the ${kind}`, ...more }) as Engine
const config = {
  node: { id: 'attic', roles: null, slots: 4, tags: {} },
  limits: { maxDurationS: 60 },
} as unknown as Config
const model = (
  name: string,
  size_bytes: number | null = 1e9,
  more: Partial<ModelInfo> = {},
): ModelInfo => ({ name, size_bytes, ...more })
const known = (serving: Known['serving'], more: Partial<Known> = {}): Known => ({
  serving,
  notOffered: {},
  defaults: {},
  ...more,
})

test('what a node offers follows its engines: roles, a tag for each name of a model, slots, what is not offered', () => {
  const now = known(
    [
      {
        engine: engine('transcribe', { parallel: 1 }),
        models: [model('whisper-base', null, { aliases: ['base'] })],
      },
      { engine: engine('generate'), models: [model('small:1b'), model('big:70b', 40e9)] },
    ],
    { notOffered: { piper: 'It broke.' }, defaults: { generate: 'big:70b' } },
  )
  const offer = createOffer({
    db: {} as never,
    media: {} as MediaClient,
    engines: createRegistry(() => now),
    kinds: [],
    config,
  })
  expect(offer.roles).toEqual(['stt_batch', 'llm_light', 'llm_heavy'])
  expect(offer.slots).toEqual({ stt_batch: 1, llm_light: 4, llm_heavy: 4 })
  expect(offer.tags).toEqual({
    'model:whisper-base': true,
    'model:base': true,
    'model:small:1b': true,
    'model:big:70b': true,
    languages: expect.stringMatching(/^,af,.*,de,.*,zh,$/),
    translates: true,
  })
  expect(offer.capabilities).toMatchObject({
    models: {
      'whisper-base': { kinds: ['transcribe'], default_for: ['transcribe'] },
      'big:70b': { default_for: ['generate'] },
      'small:1b': { engine: 'the generate' },
    },
    not_offered: { piper: 'It broke.' },
  })
  expect(offer.capabilities.models['small:1b']).not.toHaveProperty('default_for')
})

test('a node whose models hear some languages says which, and that it translates only where one does', () => {
  const tagsOf = (...models: ModelInfo[]) => {
    const found = known([{ engine: engine('transcribe'), models }])
    return createOffer({
      db: {} as never,
      media: {} as MediaClient,
      engines: createRegistry(() => found),
      kinds: [],
      config,
    }).tags
  }
  const english = model('sphinx', null, { languages: ['en'], translates: false })
  expect(tagsOf(english)).toEqual({ 'model:sphinx': true, languages: ',en,' })
  expect(tagsOf(english, model('vosk', null, { languages: ['de', 'en'] }))).toMatchObject({
    languages: ',de,en,',
    translates: true,
  })
})

test('a chosen model that is gone is as if nobody had chosen', () => {
  const engines = createRegistry(() =>
    known([{ engine: engine('generate'), models: [model('small:1b')] }], {
      defaults: { generate: 'gone:3b' },
    }),
  )
  expect(engines.pick('generate')?.model.name).toBe('small:1b')
  expect(engines.pick('generate', 'gone:3b')).toBeUndefined()
  expect(() => engines.need('generate', 'gone:3b')).toThrow(
    'No model "gone:3b" for generate is on this node any more.',
  )
})

test('every engine is closed, also one that serves nothing any more', async () => {
  const closed: string[] = []
  const closing = (kind: Engine['kind']) =>
    engine(kind, {
      close: async () => {
        closed.push(kind)
      },
    })
  const [serving, idle] = [closing('transcribe'), closing('speak')]
  const now = known([{ engine: serving, models: [model('m')] }])
  await createRegistry(
    () => now,
    async () => {},
    [serving, idle, engine('embed')],
  ).close()
  expect(closed).toEqual(['transcribe', 'speak'])
})

test('a model that came or went is told to the mesh, and the runner, which holds the same objects, goes by it', async () => {
  await using held = await testDatabase('embedded')
  let now = known([{ engine: engine('embed'), models: [model('words')] }])
  const engines = createRegistry(() => now)
  const make = () =>
    createOffer({ db: held.db, media: {} as MediaClient, engines, kinds: [], config })
  const offer = make()
  const tags = tagsOf({ platform: 'linux' }, offer, config)
  const { roles, slots, handlers } = offer
  const incarnation = await registerNode(held.db.pool, {
    id: 'attic',
    name: 'attic',
    host: null,
    port: null,
    version: '0',
    protocol: 1,
    roles,
    tags,
    capabilities: offer.capabilities,
    slots,
  })
  const offers = createOfferRefresh({
    db: held.db,
    node: { id: 'attic', incarnation } as Node,
    log: silentLog(),
    engines,
    config,
    found: { platform: 'linux' },
    offer,
    tags,
    make,
  })
  offers.start()
  const until = async (wanted: object) => {
    offers.kick()
    for (;;) {
      const { rows } = await held.db.pool.query(`select roles, tags, slots from earshot.nodes`)
      if (isDeepStrictEqual(rows[0], wanted)) return
      await sleep(20)
    }
  }
  now = known([...now.serving, { engine: engine('generate'), models: [model('small:1b')] }])
  await until({
    roles: ['llm_light', 'rag_engine'],
    tags: { node: 'attic', platform: 'linux', 'model:words': true, 'model:small:1b': true },
    slots: { llm_light: 4, rag_engine: 4 },
  })
  expect({ roles, slots, tags, handles: handlers.has('generate') }).toMatchObject({
    roles: ['llm_light', 'rag_engine'],
    slots: { llm_light: 4 },
    tags: { 'model:small:1b': true },
    handles: true,
  })
  // Away for a moment: it is told as soon as that is possible.
  const { pool } = held.db
  now = known(now.serving.slice(1))
  let failures = 0
  const query = pool.query.bind(pool)
  pool.query = ((...asked: unknown[]) => {
    if (JSON.stringify(asked).includes('update_offer') && failures === 0) {
      failures += 1
      return Promise.reject(new Error('The database is away.'))
    }
    return (query as (...args: unknown[]) => unknown)(...asked)
  }) as typeof pool.query
  offers.kick()
  while (failures === 0) await sleep(20)
  await until({
    roles: ['llm_light'],
    tags: { node: 'attic', platform: 'linux', 'model:small:1b': true },
    slots: { llm_light: 4 },
  })
  expect({ roles, tags }).toEqual({
    roles: ['llm_light'],
    tags: { node: 'attic', platform: 'linux', 'model:small:1b': true },
  })
  await offers.stop()
})
