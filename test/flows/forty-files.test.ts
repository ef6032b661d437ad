import { copyFile, mkdir } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { databases, testDatabase } from '../helpers/database.ts'
import { type MeshProcess, clientOf, startProcess } from '../helpers/mesh.ts'
import { SENTENCES, speakApart } from '../helpers/speech.ts'

const FILES = 40
const WORKERS = ['box-1', 'box-2', 'box-3']
const STRIKES = ['box-1', 'desk', 'box-2', 'attic', 'box-3', 'desk', 'box-1']

// Minutes of work: pnpm exec vitest run test/flows/forty-files.test.ts with EARSHOT_LONG_TESTS=1.
describe.runIf(databases.includes('postgres') && process.env.EARSHOT_LONG_TESTS)(
  'forty files that are heard while one process after another is killed with -9',
  () => {
    test(
      'are each transcribed once, with their own words in their own document',
      { timeout: 900_000 },
      async () => {
        await using held = await testDatabase('postgres')
        const { db, home, url } = held
        const inbox = path.join(home, 'inbox')
        await mkdir(inbox, { recursive: true })
        const base = { EARSHOT_PORT: '0', DATABASE_URL: url! }
        const settings = (id: string) => ({
          ...base,
          NODE_ID: id,
          EARSHOT_HOME: path.join(home, id),
          EARSHOT_INBOX: id === 'desk' ? inbox : path.join(home, `${id}-inbox`),
        })
        const start = (id: string) =>
          startProcess(WORKERS.includes(id) ? 'worker' : 'coordinator', settings(id))
        const mesh = new Map<string, MeshProcess>()
        for (const id of ['desk', 'attic', ...WORKERS]) mesh.set(id, await start(id))
        const counts = async () =>
          (
            await db.pool.query(
              `select count(*) filter (where status = 'ready')::int as ready, count(*)::int as documents from earshot.documents`,
            )
          ).rows[0]
        try {
          const parts = path.join(home, 'parts')
          await mkdir(parts)
          for (let i = 0; i < FILES; i += 1) {
            // Silence of its own makes each file another content.
            const made = await speakApart(
              parts,
              `talk-${i}.wav`,
              [SENTENCES[i % SENTENCES.length]!.text],
              0.3 + i / 50,
            )
            await copyFile(made, path.join(inbox, `talk-${i}.wav`))
          }
          for (const [round, id] of STRIKES.entries()) {
            // Each blow falls while there is work in hand.
            await expect
              .poll(async () => (await counts()).ready, { timeout: 120_000, interval: 100 })
              .toBeGreaterThan(round * 4)
            await mesh.get(id)!.stop('SIGKILL')
            await sleep(round * 300)
            mesh.set(id, await start(id))
          }
          await expect
            .poll(counts, { timeout: 300_000, interval: 300 })
            .toEqual({ ready: FILES, documents: FILES })
          const client = clientOf(mesh.get('desk')!)
          for (const { id, title } of await client.documents({ limit: 100 })) {
            const mine = Number(/talk-(\d+)/.exec(title)![1]) % SENTENCES.length
            const { rows } = await db.pool.query<{ text: string }>(
              `select string_agg(text, ' ' order by ordinal) as text from earshot.segments where document_id = $1`,
              [id],
            )
            for (const [place, { words }] of SENTENCES.entries()) {
              for (const word of words)
                expect(
                  rows[0]!.text.split(/\s+/).filter((heard) => heard === word),
                  `${word} in ${title}: ${rows[0]!.text}`,
                ).toHaveLength(place === mine ? 1 : 0)
            }
          }
          const {
            rows: [jobs],
          } = await db.pool.query(`
        select count(*) filter (where kind = 'transcribe')::int as heard, count(*) filter (where status <> 'completed')::int as others, max(tries)::int as tries
        from earshot.jobs`)
          expect(jobs).toEqual({ heard: FILES, others: 0, tries: 0 })
          const {
            rows: [went],
          } = await db.pool.query(
            `select count(*)::int as back from earshot.events where type = 'job.requeued'`,
          )
          // Otherwise no one was struck while at work, and this proved nothing.
          expect(went.back).toBeGreaterThan(0)
        } finally {
          for (const one of mesh.values()) await one.stop('SIGKILL')
        }
      },
    )
  },
)
