import { EventEmitter, on } from 'node:events'
import type { Client, EventView } from '@earshot/sdk'

/** An event and the moment at which this process had it, on performance.now()'s clock. */
export type Seen = EventView & { seenAt: number }

export type Follower = AsyncDisposable & {
  /**
   * Resolves with the first event from now on that fits; rejects after `seconds`. Ask before
   * causing it.
   */
  next(fits: (event: Seen) => boolean, seconds?: number): Promise<Seen>
}

/**
 * Follows a mesh's events over one connection, from now on; what happens before it is connected is
 * not missed.
 */
export async function follow(client: Client): Promise<Follower> {
  const heard = new EventEmitter().setMaxListeners(0)
  const stop = new AbortController()
  const from = Date.now()
  const reading = (async () => {
    for await (const event of client.events({ since: '0', signal: stop.signal })) {
      if (Date.parse(event.at) >= from)
        heard.emit('event', { ...event, seenAt: performance.now() } satisfies Seen)
    }
  })().catch((error: unknown) => {
    if (!stop.signal.aborted) throw error
  })
  return {
    async next(fits, seconds = 60) {
      for await (const [event] of on(heard, 'event', {
        signal: AbortSignal.timeout(seconds * 1000),
      }) as AsyncIterable<[Seen]>) {
        if (fits(event)) return event
      }
      throw new Error('The events ended.')
    },
    async [Symbol.asyncDispose]() {
      stop.abort()
      await reading
    },
  }
}
