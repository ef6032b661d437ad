/**
 * pnpm bench mesh [--only drain,closed,start,…] [--jobs N] [--rounds N] [--by notify|redis]
 * [--quick] [--json] [--report]: the mesh beside the fastest queues, in one run on one machine and
 * server, all in turn. `--report` writes the figures into docs/performance.md and draws
 * docs/speed.svg. Nothing here fails for a figure: what counts is the ratio, and the load stands
 * beside it.
 */
import { parseArgs } from 'node:util'
import { behindOthers } from './ahead.ts'
import { dropped } from './files.ts'
import { amongIdle, heartbeats, idling } from './fleet.ts'
import { machineText } from './machine.ts'
import type { Bench, Part } from './part.ts'
import { closed, draining, starting } from './peers.ts'
import { type Line, cells, printTable } from './result.ts'
import { writeReport } from './report.ts'
import { longRow } from './row.ts'
import { setStage } from './stage.ts'

const PARTS: Record<string, Part> = {
  drain: draining,
  closed,
  start: starting,
  idlers: amongIdle,
  ahead: behindOthers,
  nodes: heartbeats,
  idle: idling,
  row: longRow,
  files: dropped,
}

const { values } = parseArgs({
  args: process.argv.slice(3),
  options: {
    only: { type: 'string' },
    jobs: { type: 'string' },
    rounds: { type: 'string' },
    by: { type: 'string' },
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    report: { type: 'boolean', default: false },
  },
})
const { quick } = values
const wanted = values.only?.split(',') ?? Object.keys(PARTS)
const unknown = wanted.filter((name) => PARTS[name] === undefined)
if (unknown.length > 0)
  throw new Error(
    `There is no part ${unknown.join(', ')}; there are: ${Object.keys(PARTS).join(', ')}`,
  )
const say = (line: string) => process.stderr.write(`bench: ${line}\n`)

const lines: Line[] = []
await using stage = await setStage(say)
// Servers and processes are not to be left behind.
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(
    signal,
    () => void Promise.resolve(stage[Symbol.asyncDispose]()).finally(() => process.exit(130)),
  )
for (const name of wanted) {
  const bench = {
    stage,
    say,
    quick,
    by: values.by as Bench['by'],
    jobs: Number(values.jobs ?? (quick ? 2000 : 20_000)),
    seconds: quick ? 2 : 8,
    rounds: Number(values.rounds ?? (quick ? 1 : 5)),
  }
  const found = await PARTS[name]!(bench)
  lines.push(...found)
  for (const line of found) say(cells(line).join(' | '))
  // After each part: a long run that is broken off has told what it found.
  if (values.report) await writeReport(lines, machineText(stage.version))
  await stage.clear()
}
const machine = machineText(stage.version)
if (values.json)
  console.log(JSON.stringify({ at: new Date().toISOString(), machine, lines }, null, 2))
else printTable(lines, machine)
