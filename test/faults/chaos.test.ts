import { describe, expect, test } from 'vitest'
import { databases } from '../helpers/database.ts'
import { findServer } from '../helpers/postgres.ts'
import { createRunFolder, removeRunFolder } from '../helpers/run-folder.ts'
import { reportOf } from './report.ts'
import { runChaos } from './run.ts'

const server = await findServer()

describe.runIf(databases.includes('postgres') && server.kind === 'local')(
  'a mesh under random faults',
  () => {
    test('loses no job, doubles no effect, charges nobody innocent, and heals', async () => {
      if (server.kind !== 'local') return
      const folder = await createRunFolder()
      const lines: string[] = []
      // The same order of faults each time: what fails here can be looked for. `pnpm chaos` runs
      // for longer, and with any seed. 4 s and not the stated 2: the rest of the tests run beside
      // it.
      const run = await runChaos({
        server,
        folder,
        coordinators: 2,
        workers: 4,
        leaseS: 3,
        seed: 1,
        forMs: 40_000,
        rate: 12,
        limitS: 4,
        maxTries: 1,
        say: (line) => lines.push(line),
      })
      expect(run.broken, `${lines.join('\n')}\n${reportOf(run)}\nLogs are in ${folder}`).toEqual([])
      expect(run.effects).toBeGreaterThan(100)
      await removeRunFolder(folder)
    })
  },
)
