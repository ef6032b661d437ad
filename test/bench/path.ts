/**
 * pnpm bench [--quick] [--json] [--minutes of speech] [--only drop,speech,mesh,start] [--database
 * embedded|postgres]: measures with real processes and prints a table, or JSON. Nothing here
 * judges: figures depend on the machine and on what else it does; docs/performance.md says what
 * they mean.
 */
import os from 'node:os'
import path from 'node:path'
import { mkdir } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { findServer, startServer } from '../helpers/postgres.ts'
import { createRunFolder, removeRunFolder } from '../helpers/run-folder.ts'
import { measureDrops } from './drop.ts'
import { measureJobs } from './jobs.ts'
import { measureSpeech } from './speech.ts'
import { measureStart } from './start.ts'
import { type Bench, type Figure, printTable } from './figures.ts'
import { startMesh } from './mesh.ts'

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    minutes: { type: 'string', default: '3' },
    only: { type: 'string' },
    database: { type: 'string' },
  },
})
const wanted = values.only?.split(',')
const wants = (part: string) => wanted === undefined || wanted.includes(part)
const say = (line: string) => process.stderr.write(`bench: ${line}\n`)

const folder = await createRunFolder()
const server = await startServer(await findServer(), folder)
const figures: Figure[] = []
const add = (found: Figure[]) => {
  figures.push(...found)
  for (const { what, p50, max, unit } of found)
    say(`  ${what}: ${p50} ${unit}, at most ${max} ${unit}`)
}
try {
  for (const database of ['embedded', 'postgres'] as const) {
    if (!['drop', 'speech', 'mesh'].some(wants) || (values.database ?? database) !== database)
      continue
    const home = path.join(folder, `mesh-${database}`)
    await mkdir(home)
    const bench: Bench = {
      quick: values.quick,
      minutes: values.quick ? 0.5 : Number(values.minutes),
      database,
      folder: home,
      say,
    }
    const mesh = await startMesh(bench, server.url)
    try {
      if (wants('drop')) add(await measureDrops(bench, mesh))
      if (wants('mesh')) add(await measureJobs(bench, mesh))
      if (wants('speech')) add(await measureSpeech(bench, mesh))
    } finally {
      say('stopping the mesh')
      await mesh.stop()
    }
  }
  if (wants('start')) add(await measureStart({ quick: values.quick, folder, say }))
} finally {
  say('stopping the server')
  await server.stop()
  await removeRunFolder(folder)
}

const cpu = os.cpus()[0]?.model ?? 'unknown'
const machine = {
  cpu,
  cores: os.availableParallelism(),
  memory_gb: Math.round(os.totalmem() / 2 ** 30),
  node: process.versions.node,
  load: os.loadavg().map((load) => Math.round(load * 10) / 10),
}
if (values.json)
  console.log(JSON.stringify({ at: new Date().toISOString(), machine, figures }, null, 2))
else printTable(figures, machine)
