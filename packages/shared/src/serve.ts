import { EarshotError } from '@earshot/contract'
import type { DatabaseSettings } from '@earshot/db/database'
import { migrate, schemaVersion } from '@earshot/db/migrate'
import { type Database, openDatabase } from '@earshot/db/open'
import { privateFolder } from '@earshot/db/private-folder'
import type { Interrupts } from './interrupts.ts'
import type { Log } from './log.ts'
import { composeServices, type Service } from './service.ts'

/** What a main program that serves brings along. */
export type Main = {
  database: DatabaseSettings
  log: Log
  interrupts: Interrupts
  /** Tells the person in front of it something. */
  note(line: string): void
}

export type Composition = {
  /** In the order they start. */
  services: Service[]
  /** Tells what is running, once it is. */
  announce(): void
}

export type Serving = {
  /**
   * Coordinators bring the schema up to date; workers only look, since an old one must not touch a
   * newer mesh.
   */
  migrates: boolean
  /** Builds the services on the open database. */
  compose(db: Database): Composition | Promise<Composition>
}

/**
 * Runs services on the database until a signal comes or one of them cannot go on; resolves once
 * everything has stopped in order.
 *
 * The first Ctrl-C stops taking work and finishes what is in hand, for up to 30 s; the second hands
 * it back at once; a third ends the process on the spot.
 *
 * @throws the error of a service that could not start or go on
 */
export async function serve(main: Main, serving: Serving): Promise<void> {
  const { database, log, interrupts } = main
  const start = milestones()
  // What a service writes is for this user alone: jobs, recordings and secrets lie in it.
  process.umask(0o077)
  await privateFolder(database.home, log)
  const db = await openDatabase(database, log.child({ part: 'database' }))
  start.done('database')
  try {
    await (serving.migrates ? update(db, log) : requireSchema(db, log))
    start.done('schema')
    const { services, announce } = await serving.compose(db)
    const service = composeServices(services)
    await service.start()
    log.debug(start.done('services'), 'Started')
    try {
      announce()
      const reason = await Promise.race([
        interrupted(interrupts.first),
        ...(service.ended === undefined ? [] : [service.ended]),
      ])
      if (reason !== undefined) throw reason
    } finally {
      await stop(service, main)
    }
  } finally {
    await db.close()
  }
}

/**
 * When this process began, and how long, in ms, it took up to each step from there: what the
 * benchmark reads.
 */
function milestones() {
  const times: Record<string, number> = {
    began_at: performance.timeOrigin,
    program: performance.now(),
  }
  return { done: (step: string) => Object.assign(times, { [step]: performance.now() }) }
}

async function update(db: Database, log: Log): Promise<void> {
  const { applied, functions } = await migrate(db)
  if (applied.length + functions.length > 0)
    log.info({ applied, functions: functions.length }, 'brought the schema up to date')
}

async function requireSchema(db: Database, log: Log): Promise<void> {
  const { version, latest } = await schemaVersion(db)
  if (version < latest) {
    throw new EarshotError(
      'EARSHOT_SCHEMA_MISSING',
      `The database's schema is at version ${version}; this worker needs ${latest}.`,
      {
        hint: 'Start the coordinator, which creates and updates the schema, or run: earshot db init',
      },
    )
  }
  // Migrations expand before they contract, and the protocol number decides who gets work: an old
  // worker joins, and is told.
  if (version > latest) log.warn('the database was migrated by a newer Earshot: update this worker')
}

function interrupted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(undefined)
    else signal.addEventListener('abort', () => resolve(undefined), { once: true })
  })
}

async function stop(service: Service, { note, interrupts }: Main): Promise<void> {
  const asked = interrupts.first.aborted
  if (asked)
    note('Stopping: work in hand may take 30 s to finish. Ctrl-C again hands it back at once.')
  interrupts.onInterrupt(
    (count) =>
      count === 2 &&
      note('Handing the work back now. Ctrl-C once more ends the process on the spot.'),
  )
  // A service that failed has nothing to finish for: another node does its work sooner.
  await service.stop(asked ? interrupts.second : AbortSignal.abort())
}
