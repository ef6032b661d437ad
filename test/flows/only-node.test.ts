import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { expect, test } from 'vitest'
import { tempFolder } from '../../packages/worker/test/helpers/media.ts'

const CHILD = path.join(import.meta.dirname, 'only-node-child.ts')
type Line = { began?: string; ended?: { how: string; status: string; error_code: string | null }[] }

test('jobs that wedge or kill the only process of a mesh end as poison, the one beside them is done', async () => {
  const home = await tempFolder()
  const began: string[] = []
  let ended: Line['ended']
  for (let start = 1; ended === undefined; start++) {
    expect(start).toBeLessThan(12)
    const child = spawn(process.execPath, [CHILD, home], { stdio: ['ignore', 'pipe', 'inherit'] })
    for await (const line of createInterface({ input: child.stdout })) {
      const said = JSON.parse(line) as Line
      ended ??= said.ended
      if (said.began === undefined) continue
      began.push(said.began)
      // What a person does with a program that no longer answers.
      if (said.began === 'wedge') child.kill('SIGKILL')
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  }
  expect(ended.map(({ how, status, error_code }) => [how, status, error_code])).toEqual([
    ['nothing', 'completed', null],
    ['wedge', 'failed', 'EARSHOT_POISON'],
    ['kill', 'failed', 'EARSHOT_POISON'],
  ])
  for (const bad of ['wedge', 'kill']) expect(began.filter((how) => how === bad)).toHaveLength(3)
}, 300_000)
