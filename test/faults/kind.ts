import { defineKind } from '@earshot/sdk'
import { registerKinds } from '@earshot/db/functions/kinds'
import type pg from 'pg'
import { z } from 'zod'

/**
 * What is done under faults: it takes `ms` milliseconds, or fails by its own guilt, for good at
 * once or until its tries are used up.
 */
export const chaos = defineKind({
  kind: 'chaos',
  role: 'chaos',
  payload: z.object({
    ms: z.number().int().nonnegative(),
    fail: z.enum(['final', 'tries']).optional(),
  }),
  // Who did it, and under which assignment: kept as the job's result, and compared with what the
  // mesh says.
  result: z.object({ node: z.string(), attempt: z.number(), fence: z.string() }),
})
export const { kind: KIND, role: ROLE } = chaos
/** A file in a worker's home: while it is there, nothing can be done on it. */
export const NO_ENGINE = 'no-engine'
export type ChaosPayload = z.input<typeof chaos.payload>

/**
 * What the mesh itself does not keep, written down by triggers in the very transactions that change
 * a job: every assignment, and every effect, that is every time that a result was stored.
 */
const WITNESSES = `
  create schema chaos;
  create table chaos.holds (
    job_id bigint, attempt int, fence text, node text, incarnation bigint, at timestamptz default clock_timestamp());
  create index on chaos.holds (node, at);
  create index on chaos.holds (job_id);
  create table chaos.effects (
    job_id bigint, attempt int, fence text, node text, result jsonb, at timestamptz default clock_timestamp());
  create index on chaos.effects (job_id);
  create function chaos.witness() returns trigger language plpgsql security definer as $$
  begin
    if new.fence is distinct from old.fence and new.fence is not null then
      insert into chaos.holds values (new.id, new.attempt, new.fence::text, new.assigned_node, new.incarnation);
    end if;
    if new.status = 'completed' and (old.status <> 'completed' or new.result is distinct from old.result) then
      insert into chaos.effects values (new.id, old.attempt, old.fence::text, old.assigned_node, new.result);
    end if;
    return null;
  end $$;
  create trigger witness after update on earshot.jobs for each row when (new.kind = '${KIND}') execute function chaos.witness();
`

/** Makes the kind and its witnesses known to a migrated database. */
export async function installKind(pool: pg.Pool): Promise<void> {
  await registerKinds(pool, [chaos.registration])
  await pool.query(WITNESSES)
}
