import { Logger, makeWorkerUtils } from 'graphile-worker'
import pg from 'pg'
import { type Contender, createRan } from './contender.ts'
import { connectSql } from './earshot.ts'
import { WORKERS, noop } from './kind.ts'
import { startChild } from './processes.ts'

/**
 * graphile-worker with two worker processes. `defaults`: as it comes, without a local queue and
 * batches.
 */
export async function startGraphile(
  url: string,
  { defaults }: { defaults: boolean },
): Promise<Contender> {
  const utils = await makeWorkerUtils({ connectionString: url, logger: new Logger(() => () => {}) })
  await utils.migrate()
  const ran = createRan()
  const env = { DATABASE_URL: url, ...(defaults && { DEFAULTS: '1' }) }
  const children = await Promise.all(
    Array.from({ length: WORKERS }, () => startChild('graphile-worker.ts', env, ran)),
  )
  const pool = new pg.Pool({ connectionString: url })
  return {
    name: defaults ? 'graphile-worker, default' : 'graphile-worker',
    ran,
    pids: children.map(({ pid }) => pid),
    addMany: async (count) =>
      void (await pool.query(
        `select count(*) from graphile_worker.add_jobs(array(
         select json_populate_record(null::graphile_worker.job_spec, json_build_object('identifier', $2::text, 'payload', '{}'::json))
         from generate_series(1, $1::int)))`,
        [count, noop.kind],
      )),
    connect: () => connectSql(url, 'select graphile_worker.add_job($1, $2::json)', noop.kind),
    async isOpen() {
      const { rows } = await pool.query<{ open: boolean }>(
        'select exists (select from graphile_worker._private_jobs) as open',
      )
      return rows[0]!.open
    },
    async stop() {
      for (const child of children) await child.stop()
      await pool.end()
      await utils.release()
    },
  }
}
