import type { Random } from './random.ts'
import type { Actor, Stage } from './stage.ts'

export type Strike = {
  /** Whom it hit, for the log. */
  about: string
  /** What it set going and what belongs to its healing: a process that starts again, say. */
  settle?: Promise<unknown>
  /** How long it lasts at least, in milliseconds. */
  leastMs?: number
  /** Ends it, where it lasts until then. */
  lift?: () => Promise<void> | void
  /** What it found broken by itself. */
  broken?: string[]
}

export type Fault = {
  sort: string
  /** How often it is chosen, compared with the others. */
  weight: number
  /** Struck only where it is asked for by name: the mesh does not get over it yet. */
  asked?: true
  /** Undefined when no one is left whom it may hit. */
  strike(stage: Stage, random: Random): Promise<Strike | undefined>
}

export type Hit = (
  actor: Actor,
  random: Random,
  stage: Stage,
) => Promise<Omit<Strike, 'about'> | void>

/** At least half of the workers stay up. */
export function onWorker(hit: Hit): Fault['strike'] {
  return async (stage, random) => {
    const { actors } = stage
    const workers = actors.filter(({ part }) => part === 'worker')
    const up = workers.filter((actor) => actor.up)
    return up.length * 2 <= workers.length ? undefined : on(random.pick(up), hit, random, stage)
  }
}

/** Only while another coordinator can take over. */
export function onLeader(hit: Hit): Fault['strike'] {
  return async (stage, random) => {
    const { actors, db } = stage
    const { rows } = await db.pool.query<{ holder: string | null }>(
      'select holder from earshot.leader',
    )
    const leader = actors.find(({ name }) => name === rows[0]?.holder?.split(' ')[0])
    const others = actors.filter(
      (actor) => actor.part === 'coordinator' && actor.up && actor !== leader,
    )
    return leader?.up && others.length > 0 ? on(leader, hit, random, stage) : undefined
  }
}

export function onAnyone(hit: Hit): Fault['strike'] {
  return async (stage, random) =>
    on(random.pick(stage.actors.filter((actor) => actor.up)), hit, random, stage)
}

export const on = async (
  actor: Actor,
  hit: Hit,
  random: Random,
  stage: Stage,
): Promise<Strike> => ({
  about: actor.name,
  ...(await hit(actor, random, stage)),
})

export const beyondLease = ({ leaseS }: Stage) => leaseS * 1000 + 500
