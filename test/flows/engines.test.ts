import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BYTES_PER_S, wavHeader } from '../../packages/worker/src/audio/wav.ts'
import {
  type EngineServer,
  engineServer,
  json,
} from '../../packages/worker/test/helpers/engine-server.ts'
import { writeEmptyModel } from '../../packages/worker/test/helpers/whisper-model.ts'
import { type TestDatabase, databases, testDatabase } from '../helpers/database.ts'
import { type MeshProcess, clientOf, startProcess } from '../helpers/mesh.ts'

let ollama: EngineServer
let held: TestDatabase
let mesh: MeshProcess
const line = (message: object, more: object = {}) =>
  `${JSON.stringify({ model: 'small:1b', created_at: '', message: { role: 'assistant', content: '', ...message }, done: false, ...more })}\n`

beforeAll(async () => {
  ollama = await engineServer({
    'GET /api/version': (_, response) => json(response, 200, { version: '0.40.1' }),
    'GET /api/tags': (_, response) =>
      json(response, 200, { models: [{ name: 'small:1b', size: 1e9 }] }),
    'GET /api/ps': (_, response) => json(response, 200, { models: [] }),
    'POST /api/show': (_, response) => json(response, 200, { capabilities: ['completion'] }),
  })
  held = await testDatabase('embedded')
  await held.db.close()
  mesh = await startProcess('up', {
    EARSHOT_HOME: held.home,
    EARSHOT_PORT: '0',
    EARSHOT_INBOX: `${held.home}/inbox`,
    OLLAMA_HOST: ollama.url,
    EARSHOT_OPENAI_KEY: 'secret-key',
  })
})
afterAll(async () => {
  await mesh?.stop()
  await ollama[Symbol.asyncDispose]()
  await held[Symbol.asyncDispose]()
})
const ask = { model: 'small:1b', messages: [{ role: 'user' as const, content: 'Hi' }] }

test("a conversation goes to the box that has the model, and its answer is the job's result", async () => {
  ollama.routes['POST /api/chat'] = (_, response) => {
    response
      .writeHead(200, { 'content-type': 'application/x-ndjson' })
      .write(line({ content: 'Good ' }))
    response.end(
      line({ content: 'morning' }) +
        line({}, { done: true, done_reason: 'stop', prompt_eval_count: 3, eval_count: 2 }),
    )
  }
  const client = clientOf(mesh)
  const job = await client.wait(await client.enqueue('generate', ask))
  expect(job).toMatchObject({
    status: 'completed',
    requires: { 'model:small:1b': true },
    result: {
      model: 'small:1b',
      message: { role: 'assistant', content: 'Good morning' },
      finish_reason: 'stop',
      usage: { prompt_tokens: 3, completion_tokens: 2 },
      engine: 'ollama',
    },
  })
  const [node] = await client.nodes()
  expect(node).toMatchObject({
    roles: expect.arrayContaining(['llm_light']),
    tags: { 'model:small:1b': true, 'model:lexical-384': true },
  })
  expect(node!.capabilities.models).toMatchObject({
    'small:1b': {
      kinds: ['generate'],
      engine: 'ollama',
      size_bytes: 1e9,
      default_for: ['generate'],
    },
    'lexical-384': { kinds: ['embed', 'vectors'], dimensions: 384 },
    flite: { kinds: ['speak'], voices: expect.arrayContaining(['slt']) },
  })
})

test('a model that no box has waits, with the reason, and costs nobody anything', async () => {
  const client = clientOf(mesh)
  const { id } = await client.enqueue('generate', { ...ask, model: 'huge:70b' })
  const { missing } = await client.why(id)
  expect(missing.join(' ')).toContain('model:huge:70b')
  await client.cancel(id)
})

test("cancelling ends the engine's work at once", async () => {
  const began = Promise.withResolvers<void>()
  ollama.routes['POST /api/chat'] = (_, response) => {
    response
      .writeHead(200, { 'content-type': 'application/x-ndjson' })
      .write(line({ content: 'For ever ' }))
    began.resolve()
  }
  const client = clientOf(mesh)
  const { id } = await client.enqueue('generate', ask, { class: 'interactive' })
  await began.promise
  await client.cancel(id)
  await ollama.asked.at(-1)!.gone
})

test('texts become vectors of the model that was asked for', async () => {
  const client = clientOf(mesh)
  const job = await client.wait(
    await client.enqueue('vectors', { texts: ['one', 'two'], model: 'lexical-384' }),
  )
  expect(job.result).toMatchObject({ model: 'lexical-384', engine: 'lexical' })
  expect(job.result!.vectors.map((vector) => vector.length)).toEqual([384, 384])
})

test('speech comes in the format and at the speed that was asked for', async () => {
  const client = clientOf(mesh)
  const speak = async (more: object) =>
    (await client.wait(await client.enqueue('speak', { text: 'The kettle is on.', ...more })))
      .result!
  const [plain, slow] = [await speak({}), await speak({ speed: 0.4, format: 'mp3' })]
  expect(plain).toMatchObject({ mime: 'audio/wav', model: 'flite' })
  expect(slow).toMatchObject({ mime: 'audio/mpeg' })
  expect(slow.duration_s).toBeCloseTo(plain.duration_s / 0.4, 1)
  const { body, type } = await client.artifact(slow.artifact_id)
  const bytes = new Uint8Array(await new Response(body).arrayBuffer())
  expect(type).toBe('audio/mpeg')
  // 64 kbit a second, whatever is said.
  expect((bytes.length * 8) / 64_000).toBeCloseTo(slow.duration_s, 0)
})

describe.runIf(databases.includes('postgres') && process.platform === 'linux')(
  'whisper.cpp on two boxes',
  () => {
    test('one that is killed on the way costs a retry elsewhere, and no worker; German goes to the box that hears it', async () => {
      await using shared = await testDatabase('postgres')
      const processes: MeshProcess[] = []
      const start = async (command: 'coordinator' | 'worker', id: string) => {
        const started = await startProcess(
          command,
          {
            EARSHOT_HOME: `${shared.home}/${id}`,
            EARSHOT_PORT: '0',
            EARSHOT_INBOX: `${shared.home}/${id}/inbox`,
            DATABASE_URL: shared.url!,
            NODE_ID: id,
            EARSHOT_WHISPER_BUILD: 'cpu',
            OLLAMA_HOST: 'http://127.0.0.1:9',
          },
          { flags: command === 'worker' ? ['--roles', 'stt_batch'] : [] },
        )
        processes.push(started)
        return started
      }
      try {
        for (const id of ['one', 'two']) await writeEmptyModel(`${shared.home}/${id}`, 'empty.en')
        await writeEmptyModel(`${shared.home}/two`, 'empty', { multilingual: true })
        const desk = await start('coordinator', 'desk')
        await Promise.all([start('worker', 'one'), start('worker', 'two')])
        const client = clientOf(desk)
        // Ten minutes are one piece, and long enough to be found at work.
        const send = (seconds: number) =>
          client.addMedia(
            Buffer.concat([
              wavHeader(BYTES_PER_S * seconds),
              Buffer.alloc(BYTES_PER_S * seconds, 'tone'),
            ]),
          )
        const media = await send(300)
        const job = await client.enqueue(
          'transcribe',
          { media: media.hash, store: false, model: 'empty.en' },
          { class: 'interactive' },
        )
        const child = await whisperChild(processes.slice(1).map((one) => one.child.pid!))
        process.kill(child, 'SIGKILL')
        const ended = await client.wait(job)
        expect(ended).toMatchObject({
          status: 'completed',
          attempt: 2,
          result: { engine: 'whisper.cpp', text: '' },
        })
        expect((await client.nodes()).map(({ status }) => status)).toEqual(['online', 'online'])
        const { hash } = await send(2)
        const german = await client.enqueue('transcribe', {
          media: hash,
          store: false,
          language: 'de',
        })
        expect(await client.wait(german)).toMatchObject({
          status: 'completed',
          assigned_node: 'two',
          attempt: 1,
          result: { model: 'whisper-empty', language: 'de' },
        })
      } finally {
        await Promise.all(processes.reverse().map((one) => one.stop()))
      }
    })
  },
)

/** The process in which one of these workers has whisper.cpp at work, on Linux. */
async function whisperChild(parents: number[]): Promise<number> {
  for (;;) {
    for (const parent of parents) {
      for (const child of readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8')
        .split(' ')
        .filter(Boolean)
        .map(Number)) {
        try {
          // More than the time it takes to start and load.
          const ticks = readFileSync(`/proc/${child}/stat`, 'utf8').split(') ').at(-1)!.split(' ')
          if (
            readFileSync(`/proc/${child}/cmdline`, 'utf8').includes('whisper-child') &&
            Number(ticks[11]) > 120
          )
            return child
        } catch {
          // It has ended meanwhile.
        }
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

test('no log line tells the key of a server', () => {
  expect(mesh.log()).not.toContain('secret-key')
})
