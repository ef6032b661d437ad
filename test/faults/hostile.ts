/**
 * pnpm hostile [--seed N] [--requests N]: a mesh of one process under hostile requests. Exit code 1
 * when it answered one with 5xx, left one without an answer, or was slow to tell its health.
 */
import { rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { startProcess } from '../helpers/mesh.ts'
import { createRunFolder } from '../helpers/run-folder.ts'
import { runHostileRequests } from './hostile-requests.ts'

const MOST_HEALTH_MS = 2_000

const { values } = parseArgs({
  options: { seed: { type: 'string' }, requests: { type: 'string', default: '12500' } },
})
const seed = Number(values.seed ?? Math.floor(Math.random() * 1e6))
const folder = await createRunFolder()
const mesh = await startProcess('up', {
  EARSHOT_HOME: path.join(folder, 'home'),
  EARSHOT_INBOX: path.join(folder, 'inbox'),
  EARSHOT_PORT: '0',
})
process.stderr.write(`hostile: seed ${seed}\n`)
const run = await runHostileRequests({
  url: mesh.announced.url!,
  seed,
  requests: Number(values.requests),
})
const alive = mesh.child.exitCode === null && mesh.child.signalCode === null
await mesh.stop()
process.stdout.write(`${JSON.stringify({ seed, alive, ...run }, null, 2)}\n`)
const well =
  alive &&
  run.broken.length === 0 &&
  run.hung.length === 0 &&
  run.healthFailures === 0 &&
  run.slowestHealthMs < MOST_HEALTH_MS
if (well) await rm(folder, { recursive: true, force: true })
else {
  await writeFile(path.join(folder, 'log'), mesh.log())
  process.stderr.write(`hostile: the log is in ${folder}\n`)
  process.exitCode = 1
}
