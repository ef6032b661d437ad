/**
 * pnpm bench door [--requests 300] [--json]: how much later the first token comes through the mesh
 * than straight from the engine. The engine answers at once; client, coordinator, worker and engine
 * are on this machine, coordinator and worker in processes of their own. Nothing here judges:
 * figures depend on the machine and on what else it does; docs/performance.md says what they mean.
 */
import os from 'node:os'
import path from 'node:path'
import { mkdir } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import OpenAI from 'openai'
import { freshDatabase } from './mesh.ts'
import { type MeshProcess, startProcess } from '../helpers/mesh.ts'
import { findServer, startServer } from '../helpers/postgres.ts'
import { createRunFolder, removeRunFolder } from '../helpers/run-folder.ts'
import { createFakeOpenAiServer } from '../helpers/fake-openai-server.ts'

const { values } = parseArgs({
  args: process.argv.slice(3),
  options: {
    requests: { type: 'string', default: '300' },
    json: { type: 'boolean', default: false },
  },
})
const requests = Number(values.requests)
/** No one asks again at once; so the leader sleeps, and has to be woken. */
const PAUSE_MS = 60
const WARM_UP = 20

type Row = {
  database: string
  what: string
  n: number
  p50: number
  p90: number
  p99: number
  max: number
}

const say = (line: string) => process.stderr.write(`bench: ${line}\n`)
const folder = await createRunFolder()
const fakeOpenAi = await createFakeOpenAiServer('bench', ['talker'])
const server = await startServer(await findServer(), folder)
const rows: Row[] = []
try {
  for (const database of ['embedded', 'postgres'] as const) {
    say(`starting a mesh (${database})`)
    const mesh = await start(database)
    try {
      rows.push(...(await measure(database, mesh[0]!.announced.url!)))
    } finally {
      for (const one of mesh.toReversed()) await one.stop()
    }
  }
} finally {
  await fakeOpenAi[Symbol.asyncDispose]()
  await server.stop()
  await removeRunFolder(folder)
}
print()

/** One process on the embedded database; on a server a coordinator and a worker. */
async function start(database: Row['database']): Promise<MeshProcess[]> {
  const home = path.join(folder, `mesh-${database}`)
  await mkdir(home)
  const base = {
    EARSHOT_HOME: home,
    EARSHOT_INBOX: path.join(home, 'inbox'),
    EARSHOT_PORT: '0',
    EARSHOT_LOG_LEVEL: 'warn',
    EARSHOT_OPENAI_URLS: fakeOpenAi.url,
  }
  if (database === 'embedded') return [await startProcess('up', base)]
  const settings = { ...base, DATABASE_URL: await freshDatabase(server.url) }
  return [
    await startProcess('coordinator', { ...settings, NODE_ID: 'desk' }),
    await startProcess('worker', { ...settings, NODE_ID: 'box' }),
  ]
}

async function measure(database: Row['database'], url: string): Promise<Row[]> {
  const clients = {
    straight: new OpenAI({ baseURL: `${fakeOpenAi.url}/v1`, apiKey: 'none' }),
    mesh: new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none' }),
  }
  const straight: number[] = []
  const mesh: number[] = []
  say(`asking ${requests} times each way (${database})`)
  // In turn, so that whatever else the machine does falls on both.
  for (let i = 0; i < requests + WARM_UP; i++) {
    const times = [await firstToken(clients.straight), await firstToken(clients.mesh)] as const
    if (i < WARM_UP) continue
    straight.push(times[0])
    mesh.push(times[1])
  }
  return [
    row(database, 'straight from the engine', straight),
    row(database, 'through the mesh', mesh),
    row(
      database,
      'what the mesh adds',
      mesh.map((time, i) => time - straight[i]!),
    ),
  ]
}

/** Milliseconds from the call to the first word; the rest is read too. */
async function firstToken(client: OpenAI): Promise<number> {
  await sleep(PAUSE_MS)
  const began = performance.now()
  let first = Number.NaN
  for await (const {
    choices: [choice],
  } of await client.chat.completions.create({
    model: 'talker',
    stream: true,
    messages: [{ role: 'user', content: 'Who is there?' }],
  })) {
    if (Number.isNaN(first) && choice?.delta.content) first = performance.now() - began
  }
  return first
}

function row(database: string, what: string, times: readonly number[]): Row {
  const sorted = [...times].sort((a, b) => a - b)
  const at = (share: number) =>
    Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]! * 10) / 10
  return { database, what, n: sorted.length, p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) }
}

function print(): void {
  const machine = {
    cpu: os.cpus()[0]?.model ?? 'unknown',
    cores: os.availableParallelism(),
    node: process.versions.node,
    load: os.loadavg().map((load) => Math.round(load * 10) / 10),
  }
  if (values.json)
    return console.log(
      JSON.stringify({ at: new Date().toISOString(), machine, unit: 'ms', rows }, null, 2),
    )
  console.log('First token, milliseconds')
  console.log(
    [
      'DATABASE'.padEnd(10),
      'WHAT'.padEnd(26),
      ...['N', 'P50', 'P90', 'P99', 'MAX'].map((name) => name.padStart(7)),
    ].join(''),
  )
  for (const { database, what, ...figures } of rows)
    console.log(
      [
        database.padEnd(10),
        what.padEnd(26),
        ...Object.values(figures).map((value) => String(value).padStart(7)),
      ].join(''),
    )
  console.log(
    Object.entries(machine)
      .map(([name, value]) => `${name} ${String(value)}`)
      .join(', '),
  )
}
