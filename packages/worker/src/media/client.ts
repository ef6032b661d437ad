import { openAsBlob } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { EarshotError, type ErrorBody, type MediaView } from '@earshot/contract'
import type { Database } from '@earshot/db/database'
import {
  type MediaLocation,
  type NodeProof,
  listCoordinators,
  locateMedia,
} from '@earshot/db/functions/documents'
import { copyMedia } from './copy.ts'
import { fetchMedia } from './fetch.ts'
import { signedMediaPath } from '@earshot/shared/media/sign'

/** How long a finished transcript waits for its media's holder before the job goes back. */
const VERIFY_PATIENCE_MS = 120_000
const VERIFY_RETRY_MS = 2000
/**
 * Coordinators greet every 5 s. One silent for longer than this is not tried: a box that is off
 * holds up a slot until the time-out.
 */
const SILENT_S = 60

export type MediaClient = {
  /**
   * Fetches media into `dir`, from this box's own disk where it lies there; returns the file's
   * path. Throws EARSHOT_MEDIA_GONE, EARSHOT_MEDIA_CHANGED, EARSHOT_UNREACHABLE, EARSHOT_DISK_FULL.
   */
  fetch(hash: string, dir: string, signal: AbortSignal): Promise<string>
  /**
   * Asks the holder whether the original is still what was worked on. Throws EARSHOT_MEDIA_CHANGED,
   * EARSHOT_MEDIA_GONE, EARSHOT_UNREACHABLE.
   */
  verify(hash: string, signal: AbortSignal): Promise<void>
  /**
   * Sends a file to a coordinator that is there; returns its hash. Throws EARSHOT_UNREACHABLE,
   * EARSHOT_DISK_FULL.
   */
  upload(file: string, mime: string, signal: AbortSignal): Promise<string>
  /** Coordinators whose media was read from this box's own disk. */
  shares(): string[]
}

/** A coordinator that holds some media, and is there. */
type Place = Pick<MediaLocation, 'holder' | 'path' | 'size' | 'expires' | 'signature'> & {
  base: string
}
/** `away`: others that hold it too and cannot be asked now. */
type Located = { places: Place[]; away: string[] }

/**
 * Media to and from the coordinators, over HTTP: the worker only connects outwards. What lies on a
 * disk of this box is read there.
 */
export function createMediaClient({
  db,
  key,
  node,
}: {
  db: Database
  key: string | null
  /** Asked at each call: the node joins later. */
  node: () => NodeProof
}): MediaClient {
  const keyed: Record<string, string> = key === null ? {} : { authorization: `Bearer ${key}` }

  const shared = new Set<string>()

  async function locate(hash: string): Promise<Located> {
    const holders = await locateMedia(db.pool, hash, node())
    if (holders.length === 0)
      throw new EarshotError(
        'EARSHOT_MEDIA_GONE',
        `No coordinator holds the media ${hash.slice(0, 12)} any more.`,
      )
    const places = holders.flatMap(({ url, seen_s, ...held }) =>
      url === null || seen_s === null || seen_s > SILENT_S ? [] : [{ base: url, ...held }],
    )
    return {
      places,
      away: holders
        .map(({ holder }) => holder)
        .filter((holder) => !places.some((place) => place.holder === holder)),
    }
  }

  return {
    fetch: async (hash, dir, signal) =>
      firstHolder(await locate(hash), async (place) => {
        const { base, holder, path, size } = place
        const copy = await copyMedia({ path, hash, size, dir, signal })
        if (copy !== undefined) {
          shared.add(holder)
          return copy
        }
        try {
          return await fetchMedia({
            url: base + signedMediaPath(hash, place),
            hash,
            size,
            dir,
            signal,
          })
        } catch (err) {
          // Content that changed under an unchanged size and time is seen by no one else: asked to
          // compare, the holder takes it again.
          if (err instanceof EarshotError && err.code === 'EARSHOT_MEDIA_CHANGED')
            await verifyAt(place, hash, signal)
          throw err
        }
      }),

    async verify(hash, signal) {
      const until = performance.now() + VERIFY_PATIENCE_MS
      for (;;) {
        try {
          return await firstHolder(await locate(hash), (place) => verifyAt(place, hash, signal))
        } catch (err) {
          const away = err instanceof EarshotError && err.code === 'EARSHOT_UNREACHABLE'
          if (!away || performance.now() > until) throw err
          await sleep(VERIFY_RETRY_MS, undefined, { signal })
        }
      }
    },

    upload: async (file, mime, signal) =>
      firstThatWorks(await listCoordinators(db.pool), async ({ url }) => {
        const answer = await ask(`${url}/v1/media`, {
          method: 'POST',
          headers: keyed,
          // Backed by the file: read while it is sent, and its size is known.
          body: await openAsBlob(file, { type: mime }),
          signal,
        })
        return ((await answer.json()) as MediaView).hash
      }),

    shares: () => [...shared],
  }
}

/**
 * As firstThatWorks; but what is gone from one place, or changed there, may still be as it was with
 * a holder that is away.
 */
async function firstHolder<Result>(
  { places, away }: Located,
  work: (place: Place) => Promise<Result>,
): Promise<Result> {
  const unreachable = new EarshotError(
    'EARSHOT_UNREACHABLE',
    `The coordinator that holds this media, ${away[0]}, is away.`,
  )
  if (places.length === 0) throw unreachable
  let awaitedJobs = away.length > 0 ? unreachable : undefined
  try {
    return await firstThatWorks(places, (place) =>
      work(place).catch((err: unknown) => {
        if (err instanceof EarshotError && err.code === 'EARSHOT_UNREACHABLE') awaitedJobs ??= err
        throw err
      }),
    )
  } catch (err) {
    const settled =
      err instanceof EarshotError &&
      (err.code === 'EARSHOT_MEDIA_GONE' || err.code === 'EARSHOT_MEDIA_CHANGED')
    throw settled && awaitedJobs !== undefined ? awaitedJobs : err
  }
}

/** Tries each place in turn; the last one's error is thrown when none works. */
async function firstThatWorks<Place, Result>(
  places: Place[],
  work: (place: Place) => Promise<Result>,
): Promise<Result> {
  let failure: unknown = new EarshotError(
    'EARSHOT_UNREACHABLE',
    'No coordinator has said where it can be reached.',
  )
  for (const place of places) {
    try {
      return await work(place)
    } catch (err) {
      failure = err
    }
  }
  throw failure
}

async function verifyAt(place: Place, hash: string, signal: AbortSignal): Promise<void> {
  const address = new URL(place.base + signedMediaPath(hash, place))
  address.pathname += '/verify'
  const answer = await ask(address.href, { method: 'POST', signal })
  // An answer that took long began with status 200: what failed then stands in the body.
  const { unchanged, error } = (await answer.json().catch((cause: unknown) => {
    signal.throwIfAborted()
    throw new EarshotError(
      'EARSHOT_UNREACHABLE',
      `The coordinator at ${address.host} broke off its answer.`,
      { cause },
    )
  })) as { unchanged?: boolean } & Partial<ErrorBody>
  if (error !== undefined)
    throw new EarshotError(
      error.code === 'EARSHOT_MEDIA_GONE' ? error.code : 'EARSHOT_UNREACHABLE',
      error.message,
    )
  if (!unchanged) {
    throw new EarshotError(
      'EARSHOT_MEDIA_CHANGED',
      'The file changed after it was taken in. What was heard of it is dropped; the file as it is now is taken in anew.',
    )
  }
}

/** fetch() that throws EarshotErrors: the catalogue's own from the body where there is one. */
async function ask(url: string, init: RequestInit): Promise<Response> {
  let answer: Response
  try {
    answer = await fetch(url, init)
  } catch (err) {
    init.signal?.throwIfAborted()
    throw new EarshotError(
      'EARSHOT_UNREACHABLE',
      `The coordinator at ${new URL(url).host} cannot be reached.`,
      { cause: err },
    )
  }
  if (answer.ok) return answer
  throw await refusal(answer, new URL(url).host)
}

async function refusal(answer: Response, host: string): Promise<EarshotError> {
  const text = await answer.text()
  if (answer.status === 401) {
    return new EarshotError(
      'EARSHOT_UNAUTHORIZED',
      `The coordinator at ${host} refuses this worker's key.`,
      { hint: "Set EARSHOT_KEY to the mesh's key." },
    )
  }
  if (answer.status === 404 || answer.status === 410)
    return new EarshotError('EARSHOT_MEDIA_GONE', 'The file was removed before it was done.')
  if (answer.status === 403) {
    return new EarshotError(
      'EARSHOT_BAD_SIGNATURE',
      `The coordinator at ${host} refuses a signed address of this worker.`,
      { hint: 'Their clocks may be more than five minutes apart.' },
    )
  }
  // Not this node's disk: the job waits until there is room, and no one is charged.
  if (answer.status === 507)
    return new EarshotError(
      'EARSHOT_UNREACHABLE',
      `The disk of the coordinator at ${host} is full; the job waits until there is room.`,
    )
  return new EarshotError(
    'EARSHOT_UNREACHABLE',
    sentenceIn(text) ??
      `The coordinator at ${host} answered ${answer.status}: ${text.slice(0, 200)}`,
  )
}

/** A holder's own sentence for what it cannot get at now. */
function sentenceIn(body: string): string | undefined {
  try {
    const { error } = JSON.parse(body) as Partial<ErrorBody>
    return error?.code === 'EARSHOT_UNREACHABLE' ? error.message : undefined
  } catch {
    return undefined
  }
}
