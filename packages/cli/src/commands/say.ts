import { randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { access, rename, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { EarshotError, type JobView, type SPEECH_FORMATS } from '@earshot/contract'
import type { Context } from '../context.ts'
import { createProgress, troubleTeller } from '../progress.ts'
import { bytes, duration } from '../wording.ts'
import { unfinished } from './unfinished.ts'

/** By the file's ending; PCM without a header would tell no player what it is. */
const FORMATS: Record<string, (typeof SPEECH_FORMATS)[number]> = {
  '.wav': 'wav',
  '.mp3': 'mp3',
  '.opus': 'opus',
  '.ogg': 'opus',
  '.flac': 'flac',
  '.aac': 'aac',
}

/**
 * `earshot say TEXT -o out.wav`: has the mesh speak the text and writes the file, in the format of
 * its ending.
 */
export async function run(
  { client, output, interrupts, surroundings }: Context,
  words: string[],
  options: { output?: string; voice?: string },
): Promise<void> {
  const file = path.resolve(surroundings.cwd, options.output ?? '')
  await refuseWrongPlace(file)
  const format = formatOf(file)
  const signal = interrupts.first
  const enqueued = await client.enqueue(
    'speak',
    {
      text: words.join(' '),
      ...(format === 'wav' ? {} : { format }),
      ...(options.voice === undefined ? {} : { voice: options.voice }),
    },
    { signal, priority: 10 },
  )
  const progress = createProgress(output, 'speaking')
  const job: JobView<'speak'> = await client
    .wait(enqueued, { signal, onProgress: progress.update, onTrouble: troubleTeller(output) })
    .finally(progress.stop)
  if (job.result === null) throw unfinished(job)
  const artifact = await client.artifact(job.result.artifact_id, { signal })
  await writeBeside(file, artifact.body, signal)
  const { duration_s, engine } = job.result
  if (output.json) output.printJson({ job: job.id, file, size: artifact.size, duration_s, engine })
  else
    output.print(
      `Wrote ${file}: ${duration(duration_s)} of speech, ${bytes(artifact.size)}, by ${engine}${job.assigned_node === null ? '' : ` on ${job.assigned_node}`}.`,
    )
}

function formatOf(file: string): (typeof SPEECH_FORMATS)[number] {
  const format = FORMATS[path.extname(file).toLowerCase()]
  if (format === undefined)
    throw new EarshotError(
      'EARSHOT_BAD_REQUEST',
      `${path.basename(file)} does not say in which format to write: its ending is none of ${Object.keys(FORMATS).join(', ')}.`,
      { field: '--output' },
    )
  return format
}

// Before the mesh works for nothing.
async function refuseWrongPlace(file: string): Promise<void> {
  const folder = path.dirname(file)
  await access(folder).catch((cause: unknown) => {
    throw new EarshotError(
      'EARSHOT_NOT_FOUND',
      `The folder ${folder} is not there, so ${path.basename(file)} cannot be written into it.`,
      { field: '--output', cause },
    )
  })
  const there = await stat(file).catch(() => undefined)
  if (there?.isDirectory())
    throw new EarshotError('EARSHOT_NOT_FOUND', `${file} is a folder.`, {
      field: '--output',
      hint: 'Name a file in it.',
    })
}

/**
 * Written beside and renamed, so that a watcher of the folder (the inbox, say) never sees half a
 * file.
 */
async function writeBeside(
  file: string,
  body: ReadableStream<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  const beside = path.join(path.dirname(file), `.${path.basename(file)}.${randomUUID()}.part`)
  try {
    await pipeline(
      Readable.fromWeb(body as Parameters<typeof Readable.fromWeb>[0]),
      createWriteStream(beside, { flags: 'wx', flush: true }),
      { signal },
    )
    await rename(beside, file)
  } catch (error) {
    await rm(beside, { force: true })
    throw writeFailure(file, error)
  }
}

function writeFailure(file: string, error: unknown): unknown {
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'ENOSPC')
    return new EarshotError('EARSHOT_DISK_FULL', `The disk is full: ${file} was not written.`, {
      cause: error,
    })
  if (code === undefined || !/^E[A-Z]+$/.test(code)) return error
  return new EarshotError('EARSHOT_NOT_FOUND', `${file} cannot be written: ${message}.`, {
    field: '--output',
    cause: error,
  })
}
