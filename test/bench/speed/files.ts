import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { migrate } from '@earshot/db/migrate'
import { openDatabase } from '@earshot/db/open'
import { startProcess } from '../../helpers/mesh.ts'
import type { Part } from './part.ts'
import { residentMb } from './processes.ts'
import { alone, compare, short } from './result.ts'

/**
 * Many small files, dropped at once: every one a document, none twice, and the coordinator's memory
 * stays flat.
 */
export const dropped: Part = async ({ stage, quick, say }) => {
  const count = quick ? 100 : 1000
  const folder = path.join(stage.folder, 'files')
  await mkdir(folder)
  const url = await stage.database('files')
  const db = await openDatabase({ url, home: folder })
  await migrate(db)
  const settings = (name: string) => ({
    DATABASE_URL: url,
    NODE_ID: name,
    EARSHOT_HOME: path.join(folder, name),
    EARSHOT_INBOX: path.join(folder, 'inbox'),
    EARSHOT_PORT: '0',
    EARSHOT_LOG_LEVEL: 'warn',
  })
  const coordinator = await startProcess('coordinator', settings('desk'))
  const worker = await startProcess('worker', settings('box'))
  const memory = () => residentMb(coordinator.child.pid!) ?? Number.NaN
  const ready = async () =>
    Number(
      (
        await db.pool.query<{ n: string }>(
          `select count(*) as n from earshot.documents where status in ('ready', 'failed')`,
        )
      ).rows[0]!.n,
    )
  // One beforehand, so that what the first of all loads does not count as growth.
  await writeFile(path.join(folder, 'inbox', 'first.txt'), 'The first of all.')
  while ((await ready()) < 1) await sleep(50)
  const before = memory()
  let most = before
  const began = performance.now()
  await Promise.all(
    Array.from({ length: count }, (_, i) =>
      writeFile(
        path.join(folder, 'inbox', `note-${i}.txt`),
        `Note ${i}: the lighthouse keeper counts to ${i}.`,
      ),
    ),
  )
  while ((await ready()) < count + 1) {
    most = Math.max(most, memory())
    if (performance.now() - began > 600_000) break
    await sleep(100)
  }
  say(
    `${count} files became ${(await ready()) - 1} documents in ${short((performance.now() - began) / 1000)} s; memory ${short(before)} MB, at most ${short(most)} MB`,
  )
  const {
    rows: [found],
  } = await db.pool.query<{ documents: number; good: number }>(
    `select count(distinct title)::int as documents, count(*) filter (where status = 'ready')::int as good from earshot.documents`,
  )
  for (const one of [worker, coordinator]) await one.stop()
  await db.close()
  return [
    alone({
      measure: `${short(count)} small files dropped at once: documents`,
      against: 'files',
      unit: '',
      target: { sign: '=', than: 1, unit: '×' },
      ours: [found!.good === found!.documents ? (found!.good - 1) / count : Number.NaN],
    }),
    compare({
      measure: `${short(count)} small files dropped at once: most memory of the coordinator`,
      against: 'before',
      unit: 'MB',
      target: { sign: '≤', than: 1.5, unit: '×' },
      ours: [most],
      peer: [before],
    }),
  ]
}
