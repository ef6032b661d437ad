import { EarshotError } from '@earshot/contract'
import type { Engine } from './engine.ts'
import { BODY, messagesIn, query, stringAt, SYNC, typeOf } from './messages.ts'
import type { ListenChange } from './sql-text.ts'

/** One logical connection, as the link sees it. */
export type Member = {
  /** Hands it bytes from the engine. */
  deliver(bytes: Buffer): void
  /** Ends it with an error. */
  fail(error: Error): void
  /** Messages that undo what it left in the session. */
  cleanUp(): Buffer[]
}

export type Link = {
  greeting(): Promise<Buffer>
  join(member: Member): void
  /** Runs messages that end in Sync, Flush or a simple query; waits for its turn. */
  run(member: Member, messages: Buffer[], listens: ListenChange[]): Promise<void>
  /** Takes a member out, rolling back what it had open. */
  leave(member: Member): Promise<void>
  /** Ends every member, because the engine is gone. */
  lost(error: Error): void
  /** Resolves when nothing is running or being cleaned up. */
  drained(): Promise<void>
}

type Seat = { channels: Set<string>; busy: boolean; timer: NodeJS.Timeout | undefined }
type Waiter = { member: Member; go: () => void; stop: (error: Error) => void }

/**
 * Lets many logical connections share the one session of the engine: one at a time, and anyone who
 * is inside a transaction (or between Flush and Sync) keeps the engine until it is done.
 * Notifications go to those who listen to their channel.
 *
 * @param idleS seconds a member may keep the engine without sending anything
 */
export function createLink(engine: Pick<Engine, 'exec' | 'greeting'>, idleS: number): Link {
  const seats = new Map<Member, Seat>()
  const leaving = new Set<Promise<void>>()
  let owner: Member | undefined
  let waiters: Waiter[] = []

  function acquire(member: Member): Promise<void> | void {
    if (owner === member) return
    if (owner === undefined) {
      owner = member
      return
    }
    return new Promise((go, stop) => waiters.push({ member, go, stop }))
  }

  function release(member: Member): void {
    if (owner !== member) return
    const next = waiters.shift()
    owner = next?.member
    next?.go()
  }

  /**
   * Passes a reply on, notifications to everyone who listens; true when the session is idle again.
   */
  function passOn(reply: Buffer, member: Member | undefined): boolean {
    let idle = false
    let from = 0
    let at = 0
    for (const part of messagesIn(reply)) {
      const type = typeOf(part)
      if (type === 'A') {
        if (at > from) member?.deliver(reply.subarray(from, at))
        from = at + part.length
        notify(part)
      }
      idle = type === 'Z' && part[BODY] === 0x49 /* I, no transaction */
      at += part.length
    }
    if (at > from) member?.deliver(reply.subarray(from, at))
    return idle
  }

  function notify(notification: Buffer): void {
    const channel = stringAt(notification, BODY + 4).text
    for (const [member, seat] of seats) {
      // Copied, since each reader may keep its part of the reply.
      if (seat.channels.has(channel)) member.deliver(Buffer.from(notification))
    }
  }

  const listenedByAnyone = () => new Set([...seats.values()].flatMap((seat) => [...seat.channels]))

  /**
   * UNLISTEN of one member ends it for the session: those who still listen are put back while the
   * engine is held.
   */
  async function changeListens(seat: Seat, changes: ListenChange[]): Promise<void> {
    for (const { listen, channel } of changes) {
      if (channel === null) seat.channels.clear()
      else if (listen) seat.channels.add(channel)
      else seat.channels.delete(channel)
    }
    const kept = [...listenedByAnyone()]
    if (changes.every((change) => change.listen) || kept.length === 0) return
    passOn(
      await engine.exec(query(kept.map((channel) => `listen ${quoted(channel)}`).join(';'))),
      undefined,
    )
  }

  async function run(member: Member, messages: Buffer[], listens: ListenChange[]): Promise<void> {
    await acquire(member)
    const seat = seats.get(member)
    if (seat === undefined) return release(member)
    clearTimeout(seat.timer)
    const reply = await engine.exec(messages.length === 1 ? messages[0]! : Buffer.concat(messages))
    seat.busy = !passOn(reply, member)
    if (listens.length > 0) await changeListens(seat, listens)
    if (seat.busy) seat.timer = setTimeout(() => member.fail(idleTooLong(idleS)), idleS * 1000)
    else release(member)
  }

  async function tidy(member: Member, seat: Seat): Promise<void> {
    clearTimeout(seat.timer)
    const unheard = [...seat.channels].filter((channel) => !listenedByAnyone().has(channel))
    // Sync first: after an error the engine skips everything up to it.
    const work = seat.busy ? [SYNC, query('rollback')] : []
    if (unheard.length > 0)
      work.push(query(unheard.map((channel) => `unlisten ${quoted(channel)}`).join(';')))
    const statements = member.cleanUp()
    if (statements.length > 0) work.push(...statements, SYNC)
    if (work.length === 0) return release(member)
    await acquire(member)
    try {
      passOn(await engine.exec(Buffer.concat(work)), undefined)
    } finally {
      release(member)
    }
  }

  return {
    greeting: () => engine.greeting(),
    join: (member) =>
      void seats.set(member, { channels: new Set(), busy: false, timer: undefined }),
    run,
    leave(member) {
      const seat = seats.get(member)
      if (seat === undefined) return Promise.resolve()
      seats.delete(member)
      // Tidying fails only when the engine is lost, and what was to be tidied is lost with it.
      const done = tidy(member, seat)
        .catch(() => {})
        .finally(() => leaving.delete(done))
      leaving.add(done)
      return done
    },
    lost(error) {
      const members = [...seats.keys()]
      const stopped = waiters
      for (const seat of seats.values()) clearTimeout(seat.timer)
      seats.clear()
      owner = undefined
      waiters = []
      for (const { stop } of stopped) stop(error)
      for (const member of members) member.fail(error)
    },
    async drained() {
      while (leaving.size > 0) await Promise.allSettled(leaving)
    },
  }
}

function quoted(channel: string): string {
  return `"${channel.replaceAll('"', '""')}"`
}

function idleTooLong(idleS: number): EarshotError {
  return new EarshotError(
    'EARSHOT_DATABASE',
    `A transaction sat idle for ${idleS} s and was rolled back.`,
  )
}
