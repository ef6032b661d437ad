import { mkdir, rename, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { EarshotError, type ErrorBody, MediaHash } from '@earshot/contract'
import { newPartial, writePartial, type Bytes } from '@earshot/shared/media/partial'

/** A holder that sends nothing for so long is taken for gone. */
const SILENCE_S = 30

/**
 * `url`: a signed address; `hash` and `size` (bytes): what must come; `dir`: where the file goes,
 * made when missing.
 */
export type Wanted = {
  url: string
  hash: string
  size: number
  dir: string
  signal: AbortSignal
  silenceS?: number
}

/**
 * Streams a media file from its holder into `dir` and proves on the way that it is what was asked
 * for. Answers the path. Throws EARSHOT_MEDIA_GONE (the holder has it no more),
 * EARSHOT_MEDIA_CHANGED (other content came), EARSHOT_BAD_SIGNATURE, EARSHOT_UNREACHABLE (no
 * answer, a broken or silent connection, a fault at the holder), EARSHOT_DISK_FULL, or the signal's
 * reason.
 *
 * @example
 * const path = await fetchMedia({ url: `${holder}${mediaPath(secret, hash, 3600)}`, hash, size, dir: jobDir, signal })
 */
export async function fetchMedia({
  url,
  hash,
  size,
  dir,
  signal,
  silenceS = SILENCE_S,
}: Wanted): Promise<string> {
  signal.throwIfAborted()
  if (!MediaHash.safeParse(hash).success) {
    throw new EarshotError('EARSHOT_BAD_REQUEST', 'A media hash is 64 hexadecimal digits.', {
      field: 'hash',
    })
  }
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const target = join(resolve(dir), hash)
  const partial = newPartial(resolve(dir))
  const silence = watchSilence(silenceS)
  const either = AbortSignal.any([signal, silence.signal])
  try {
    const body = await reach(url, hash, either)
    const got = await writePartial(partial, heard(body, silence), {
      signal: either,
      maxBytes: size,
    })
    if (got.size !== size || got.hash !== hash) throw changed()
    await rename(partial.path, target)
    return target
  } catch (error) {
    signal.throwIfAborted()
    // More bytes than promised is other content, too: there is no need to read on to know it.
    if (error instanceof EarshotError) throw error.code === 'EARSHOT_TOO_LARGE' ? changed() : error
    if (isFileSystem(error)) throw error
    throw unreachable(url, error)
  } finally {
    silence.stop()
    await rm(partial.path, { force: true })
    partial.done()
  }
}

async function reach(url: string, hash: string, signal: AbortSignal): Promise<Bytes> {
  // A redirect would carry the signature to a host that no one named.
  const answer = await fetch(url, {
    signal,
    redirect: 'error',
    headers: { 'accept-encoding': 'identity' },
  })
  if (answer.ok && answer.body) return answer.body
  const refusal = await readRefusal(answer)
  const host = new URL(url).host
  if (answer.status === 404 || answer.status === 410) {
    throw new EarshotError('EARSHOT_MEDIA_GONE', 'The file was removed before it was done.')
  }
  if (answer.status === 401 || answer.status === 403) {
    throw new EarshotError(
      'EARSHOT_BAD_SIGNATURE',
      `The holder ${host} refuses the signed address of the media ${hash.slice(0, 12)}.`,
      {
        hint: 'If it was fresh, the clocks of the two boxes are more than five minutes apart.',
      },
    )
  }
  if (answer.status === 409) throw changed()
  // The holder's own sentence: it answers, but cannot get at the file.
  if (refusal?.code === 'EARSHOT_UNREACHABLE') throw new EarshotError(refusal.code, refusal.message)
  throw unreachable(url, new Error(`HTTP status ${answer.status}`))
}

/** What a holder says that does not give the file, if it says it in the catalogue's shape. */
async function readRefusal(answer: Response): Promise<ErrorBody['error'] | undefined> {
  const body = (await answer.json().catch(() => undefined)) as Partial<ErrorBody> | null | undefined
  return typeof body?.error?.message === 'string' ? body.error : undefined
}

function changed(): EarshotError {
  return new EarshotError(
    'EARSHOT_MEDIA_CHANGED',
    'The file changed after it was taken in. The file as it is now is taken in anew.',
  )
}

function unreachable(url: string, cause: unknown): EarshotError {
  return new EarshotError(
    'EARSHOT_UNREACHABLE',
    `The holder ${new URL(url).host} of this media does not answer: ${reason(cause)}.`,
    {
      hint: 'The job waits and is tried again; check that the coordinator runs and that this box can reach it.',
      cause,
    },
  )
}

/** fetch() hides what happened in `cause`. */
function reason(error: unknown): string {
  const inner = error instanceof Error && error.cause instanceof Error ? error.cause : error
  return inner instanceof Error ? inner.message || inner.name : String(inner)
}

/** File system errors have a system call and a path; those of sockets have no path. */
function isFileSystem(error: unknown): boolean {
  return error instanceof Error && 'path' in error && 'syscall' in error
}

type Silence = { signal: AbortSignal; reset(): void; stop(): void }

function watchSilence(seconds: number): Silence {
  const controller = new AbortController()
  const timer = setTimeout(
    () => controller.abort(new Error(`nothing was heard for ${seconds} s`)),
    seconds * 1000,
  )
  return {
    signal: controller.signal,
    reset: () => void timer.refresh(),
    stop: () => clearTimeout(timer),
  }
}

async function* heard(body: Bytes, silence: Silence): Bytes {
  for await (const piece of body) {
    silence.reset()
    yield piece
  }
}
