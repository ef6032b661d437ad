/**
 * pnpm chaos [--minutes N] [--seed S] [--rate JOBS_A_SECOND] [--only TEXT]… [--report]: a mesh of
 * real processes under random faults, and what must never break. --only chooses faults by a part of
 * their names. A line a fault on standard error, the report on standard output; --report also
 * writes it to docs/chaos-report.md. Exit code 1 when anything broke: the folder with everyone's
 * logs is kept then, and the seed repeats the order of the faults.
 */
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { findServer } from '../helpers/postgres.ts'
import { createRunFolder, removeRunFolder } from '../helpers/run-folder.ts'
import { reportOf } from './report.ts'
import { runChaos } from './run.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '5' },
    seed: { type: 'string' },
    rate: { type: 'string', default: '20' },
    only: { type: 'string', multiple: true },
    report: { type: 'boolean', default: false },
  },
})
const server = await findServer()
if (server.kind !== 'local')
  throw new Error('Chaos needs the programs of a PostgreSQL server on this machine. Run: npm test')
const seed = Number(values.seed ?? Math.floor(Math.random() * 1e6))
const say = (line: string) => process.stderr.write(`chaos: ${line}\n`)
const folder = await createRunFolder()
say(`seed ${seed}; logs in ${folder}`)
// So that its exit handlers run.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130))
const run = await runChaos({
  server,
  folder,
  coordinators: 2,
  workers: 5,
  leaseS: 3,
  seed,
  forMs: Number(values.minutes) * 60_000,
  rate: Number(values.rate),
  limitS: 2,
  maxTries: 2,
  ...(values.only && { only: values.only }),
  say,
})
const report = reportOf(run)
process.stdout.write(report)
if (values.report)
  await writeFile(path.resolve(import.meta.dirname, '../../docs/chaos-report.md'), report)
if (run.broken.length === 0) await removeRunFolder(folder)
else process.exitCode = 1
