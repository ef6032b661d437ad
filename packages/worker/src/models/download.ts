import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, rename, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { Readable } from 'node:stream'
import type { ReadableStream as NodeReadableStream } from 'node:stream/web'
import { pipeline } from 'node:stream/promises'
import { EarshotError, trimEndOf } from '@earshot/contract'
import { freeBytes } from '@earshot/shared/platform'
import { isDiskFull } from '../verdict.ts'
import type { Downloadable } from './catalogue.ts'

/** A server that sends nothing for so long is taken for gone. */
const SILENCE_MS = 60_000

export type DownloadOptions = {
  /** Where it comes from: this address, a slash, the file's name; or the file's own address. */
  source: string
  /** Where it goes. */
  folder: string
  signal: AbortSignal
  onProgress?: (fraction: number) => void
}

/**
 * Loads a model down: beside its place, going on where it was broken off, and renamed once its
 * SHA-256 is what it must be. One that is there and whole is left as it is.
 *
 * @returns the file
 * @throws EarshotError EARSHOT_UNREACHABLE (the hint says what to copy where),
 *   EARSHOT_ENGINE_FAILED (what came is not the model), EARSHOT_DISK_FULL; the signal's reason on
 *   abort: what came so far is kept
 */
export async function download(
  model: Downloadable,
  { source, folder, signal, onProgress }: DownloadOptions,
): Promise<string> {
  const file = path.join(folder, model.file)
  const partial = `${file}.part`
  await mkdir(folder, { recursive: true })
  if ((await sizeOf(file)) === model.size && (await sha256Of(file, signal)) === model.sha256)
    return file
  const have = await sizeOf(partial)
  if (have > model.size) await rm(partial, { force: true })
  await refuseFullDisk(folder, model.size - Math.min(have, model.size))
  if ((await sizeOf(partial)) < model.size)
    await fetchRest(model, { source, folder, signal, ...(onProgress && { onProgress }) }, partial)
  const got = await sha256Of(partial, signal)
  if (got !== model.sha256) {
    await rm(partial, { force: true })
    throw new EarshotError(
      'EARSHOT_ENGINE_FAILED',
      `What came from ${new URL(source).host} is not ${model.file}: its SHA-256 is ${got}, not ${model.sha256}. It was deleted.`,
    )
  }
  await rename(partial, file)
  return file
}

async function fetchRest(
  model: Downloadable,
  { source, folder, signal, onProgress }: DownloadOptions,
  partial: string,
): Promise<void> {
  const url = source.endsWith(`/${model.file}`) ? source : `${trimEndOf(source, '/')}/${model.file}`
  const from = await sizeOf(partial)
  const silence = new AbortController()
  const timer = setTimeout(
    () => silence.abort(new Error(`nothing came for ${SILENCE_MS / 1000} s`)),
    SILENCE_MS,
  )
  const either = AbortSignal.any([signal, silence.signal])
  try {
    const answer = await fetch(url, {
      signal: either,
      headers: { 'accept-encoding': 'identity', ...(from > 0 ? { range: `bytes=${from}-` } : {}) },
    })
    if (!answer.ok || answer.body === null) {
      await answer.body?.cancel()
      throw new Error(`it answered ${answer.status}`)
    }
    // A server that knows nothing of ranges begins again.
    const goesOn =
      answer.status === 206 &&
      answer.headers.get('content-range')?.startsWith(`bytes ${from}-`) === true
    let done = goesOn ? from : 0
    const counted = async function* (body: AsyncIterable<Uint8Array>) {
      for await (const piece of body) {
        timer.refresh()
        done += piece.length
        if (done > model.size)
          throw new EarshotError(
            'EARSHOT_ENGINE_FAILED',
            `What comes from ${new URL(source).host} is longer than ${model.file} is.`,
          )
        onProgress?.(done / model.size)
        yield piece
      }
    }
    await pipeline(
      Readable.fromWeb(answer.body as NodeReadableStream),
      counted,
      createWriteStream(partial, { flags: goesOn ? 'a' : 'w', flush: true }),
      { signal: either },
    )
    if (done < model.size) throw new Error(`it ended after ${done} of ${model.size} bytes`)
  } catch (err) {
    signal.throwIfAborted()
    if (isDiskFull(err)) throw full(folder)
    if (err instanceof EarshotError) {
      await rm(partial, { force: true })
      throw err
    }
    throw unreachable(model, url, folder, err)
  } finally {
    clearTimeout(timer)
  }
}

function unreachable(model: Downloadable, url: string, folder: string, err: unknown): EarshotError {
  const cause = err instanceof Error && err.cause instanceof Error ? err.cause : err
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new EarshotError(
    'EARSHOT_UNREACHABLE',
    `${model.file} could not be loaded from ${new URL(url).host}: ${reason}.`,
    {
      hint: `Run it again to go on. Without a network: fetch ${url} elsewhere and copy it to ${path.join(folder, model.file)}`,
      cause: err,
    },
  )
}

async function refuseFullDisk(folder: string, needed: number): Promise<void> {
  if ((await freeBytes(folder)) < needed) throw full(folder)
}

const full = (folder: string) =>
  new EarshotError(
    'EARSHOT_DISK_FULL',
    `The disk that holds ${folder} has no room for the model.`,
    { hint: 'Make room, or set EARSHOT_HOME to a folder on another disk.' },
  )

const sizeOf = (file: string): Promise<number> =>
  stat(file).then(
    ({ size }) => size,
    () => 0,
  )

async function sha256Of(file: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash, { signal })
  return hash.digest('hex')
}
