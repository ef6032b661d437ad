import { readFileSync } from 'node:fs'
import { mkdir, rename, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { databases, testDatabase } from '../helpers/database.ts'
import { clientOf, startProcess } from '../helpers/mesh.ts'

const FILES = 1000
const SECONDS = 600
/** A process gets no more: what were kept for each file would end it. */
const HEAP_MB = 96
const ROUNDS = ['first', 'second', 'third']

/** Most memory that a process ever had, in MB; Linux tells. */
const peakMb = (pid: number) =>
  Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024

// Minutes of work: pnpm exec vitest run test/flows/thousand-files.test.ts with
// EARSHOT_LONG_TESTS=1.
describe.runIf(
  databases.includes('postgres') && process.env.EARSHOT_LONG_TESTS && process.platform === 'linux',
)('1,000 small files dropped at once', () => {
  test(
    'become a document each, none twice, and the memory stays flat',
    { timeout: SECONDS * 1000 * 2 },
    async () => {
      await using held = await testDatabase('postgres')
      const { db, home, url } = held
      const inbox = path.join(home, 'inbox')
      const prepared = path.join(home, 'prepared')
      await mkdir(inbox, { recursive: true })
      await mkdir(prepared)
      const base = {
        EARSHOT_PORT: '0',
        EARSHOT_LOG_LEVEL: 'info',
        DATABASE_URL: url!,
        EARSHOT_INBOX: inbox,
        NODE_OPTIONS: `--max-old-space-size=${HEAP_MB} --max-semi-space-size=16`,
      }
      const coordinator = await startProcess('coordinator', {
        ...base,
        NODE_ID: 'desk',
        EARSHOT_HOME: path.join(home, 'desk'),
      })
      const workers = [
        await startProcess('worker', {
          ...base,
          NODE_ID: 'box-1',
          EARSHOT_HOME: path.join(home, 'box-1'),
        }),
        await startProcess('worker', {
          ...base,
          NODE_ID: 'box-2',
          EARSHOT_HOME: path.join(home, 'box-2'),
        }),
      ]
      const mesh = [coordinator, ...workers]
      const drop = async (name: string) => {
        for (let i = 0; i < FILES; i += 1)
          await writeFile(
            path.join(prepared, `${name}-${i}.txt`),
            `Note ${i} of ${name} tells of a boat that came home at number ${i}.\n`,
          )
        const began = performance.now()
        for (let i = 0; i < FILES; i += 1)
          await rename(
            path.join(prepared, `${name}-${i}.txt`),
            path.join(inbox, `${name}-${i}.txt`),
          )
        return began
      }
      const counts = async () =>
        (
          await db.pool.query(
            `select count(*) filter (where status = 'ready')::int as ready, count(*)::int as documents from earshot.documents`,
          )
        ).rows[0]
      const ready = async (files: number) => {
        await expect
          .poll(counts, { timeout: SECONDS * 1000, interval: 250 })
          .toEqual({ ready: files, documents: files })
      }
      try {
        const peaks: number[][] = []
        const seconds: number[] = []
        for (const [round, name] of ROUNDS.entries()) {
          const began = await drop(name)
          await ready(FILES * (round + 1))
          seconds.push((performance.now() - began) / 1000)
          peaks.push(mesh.map(({ child }) => peakMb(child.pid!)))
        }
        console.log(
          JSON.stringify({
            seconds: seconds.map(Math.round),
            peaks_mb: peaks.map((each) => each.map(Math.round)),
          }),
        )
        // What the later thousands add, in MB, to what the second needed.
        for (const [place, last] of peaks.at(-1)!.entries())
          expect(last - peaks[1]![place]!, JSON.stringify(peaks)).toBeLessThan(32)
        const titles = (
          await db.pool.query<{ title: string; chunks: number }>(
            'select d.title, (select count(*)::int from earshot.chunks c where c.document_id = d.id) as chunks from earshot.documents d',
          )
        ).rows
        expect(new Set(titles.map(({ title }) => title)).size).toBe(FILES * ROUNDS.length)
        expect(titles.filter(({ chunks }) => chunks !== 1)).toEqual([])
        const {
          rows: [jobs],
        } = await db.pool.query(
          `select count(*) filter (where status <> 'completed')::int as open, max(tries)::int as tries, count(*)::int as all from earshot.all_jobs`,
        )
        expect(jobs).toMatchObject({ open: 0, tries: 0 })
        const hits = await clientOf(coordinator).search('"Note 777 of second"')
        expect(hits.hits[0]?.title ?? '').toContain('second-777')
      } finally {
        for (const one of mesh) await one.stop('SIGKILL')
      }
    },
  )
})
