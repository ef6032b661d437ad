import { randomUUID } from 'node:crypto'
import { open, readFile, rename, rm, stat, utimes } from 'node:fs/promises'
import os from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { EarshotError } from '@earshot/contract'
import type { Logger as Log } from 'pino'
import { processStart } from './process-start.ts'

export type Lock = { release(): Promise<void> }

type Claim = { pid: number; started: string | null; host: string; token: string }

const TOUCH_MS = 2_000
/** Five touches: a holder whose lock file has not moved for this long is gone. */
const SILENCE_MS = 10_000

/**
 * Takes the lock file of the embedded database, which itself takes none: two processes that open it
 * lose rows silently. A lock whose process is dead is taken over: by process id and start time on
 * this machine; a holder on another machine or in another container, whose processes cannot be
 * seen, counts as dead when it stops touching the file for 10 s.
 *
 * @throws EarshotError EARSHOT_DATABASE_IN_USE when its holder lives
 */
export async function takeLock(file: string, log?: Log): Promise<Lock> {
  const claim: Claim = {
    pid: process.pid,
    started: processStart(process.pid),
    host: os.hostname(),
    token: randomUUID(),
  }
  while (!(await create(file, claim))) {
    const found = await readClaim(file)
    if (found === undefined) continue
    if (await isHeld(file, found)) throw inUse(file, found.claim)
    log?.info(
      { file, pid: found.claim?.pid },
      'The process that had the embedded database open is gone',
    )
    await removeStale(file, found.text)
  }
  return hold(file, claim, log)
}

async function create(file: string, claim: Claim): Promise<boolean> {
  try {
    const handle = await open(file, 'wx')
    await handle.writeFile(JSON.stringify(claim))
    await handle.close()
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

type Found = {
  text: string
  /** undefined: its maker died while writing it. */ claim: Claim | undefined
}

async function readClaim(file: string): Promise<Found | undefined> {
  for (let tries = 0; ; tries++) {
    const text = await readFile(file, 'utf8').catch(ifGone)
    if (text === undefined) return undefined
    try {
      return { text, claim: JSON.parse(text) as Claim }
    } catch {
      // Someone is just writing it; a second is ages for that.
      if (tries === 10) return { text, claim: undefined }
      await sleep(100)
    }
  }
}

async function isHeld(file: string, { claim }: Found): Promise<boolean> {
  if (claim === undefined) return false
  if (claim.host === os.hostname())
    return claim.started !== null && processStart(claim.pid) === claim.started
  const before = await touchedAt(file)
  for (let waited = 0; waited < SILENCE_MS; waited += 500) {
    await sleep(500)
    if ((await touchedAt(file)) !== before) return true
  }
  return false
}

async function touchedAt(file: string): Promise<number | undefined> {
  return (await stat(file).catch(ifGone))?.mtimeMs
}

/** Moves the stale lock aside; should another have replaced it meanwhile, that one is put back. */
async function removeStale(file: string, text: string): Promise<void> {
  const aside = `${file}.${randomUUID()}`
  if (
    (await rename(file, aside)
      .then(() => true)
      .catch(ifGone)) === undefined
  )
    return
  if ((await readFile(aside, 'utf8')) === text) await rm(aside)
  else await rename(aside, file)
}

function hold(file: string, claim: Claim, log?: Log): Lock {
  const touch = setInterval(() => {
    const now = new Date()
    utimes(file, now, now).catch((err: unknown) =>
      log?.warn({ err, file }, 'The lock of the embedded database cannot be touched'),
    )
  }, TOUCH_MS)
  touch.unref()
  return {
    async release() {
      clearInterval(touch)
      const found = await readClaim(file)
      if (found?.claim?.token === claim.token) await rm(file, { force: true })
    },
  }
}

function inUse(file: string, claim: Claim | undefined): EarshotError {
  const where = claim?.host === os.hostname() ? '' : ` on ${claim?.host}`
  return new EarshotError(
    'EARSHOT_DATABASE_IN_USE',
    `Process ${claim?.pid}${where} has the embedded database open (${file}).`,
    {
      hint: 'Talk to that mesh over HTTP (EARSHOT_URL), or move to a PostgreSQL server with DATABASE_URL, which any number of processes may use',
    },
  )
}

function ifGone(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}
