import { openAsBlob } from 'node:fs'
import { stat } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import {
  EarshotError,
  type AddedDocument,
  type DocumentView,
  type ErrorBody,
} from '@earshot/contract'
import type { Context } from '../context.ts'
import { EXIT } from '../exit-code.ts'
import { errorBody } from '../output.ts'
import { type Progress, createProgress, troubleTeller } from '../progress.ts'
import { bytes, clock, safe } from '../wording.ts'
import { noWords } from './no-words.ts'
import { unfinished } from './unfinished.ts'

/** One file in the answer of `--json`; after `--wait` also what became of it. */
type Added = {
  file: string
  document: number
  job: number
  hash: string
  size: number
  duplicate: boolean
  status?: string
  text?: string
}
type Refused = { file: string; error: ErrorBody['error'] }

/**
 * `earshot add FILE… [--wait] [--interactive] [--language CODE]`: sends files into the mesh. One
 * that fails does not stop the others.
 */
export async function run(
  context: Context,
  files: string[],
  {
    wait = false,
    interactive = false,
    language,
  }: { wait?: boolean; interactive?: boolean; language?: string },
): Promise<number> {
  const { output, interrupts } = context
  const results: (Added | Refused)[] = []
  // All are sent before the first is waited for, so that several nodes can work at once.
  for (const file of files)
    results.push(
      await attempt(file, context, () =>
        send(context, file, {
          ...(interactive ? { class: 'interactive' } : {}),
          ...(language === undefined ? {} : { language }),
        }),
      ),
    )
  if (wait) {
    for (const [at, result] of results.entries()) {
      if ('document' in result)
        results[at] = await attempt(result.file, context, () =>
          finish(context, result, files.length > 1),
        )
    }
  }
  interrupts.first.throwIfAborted()
  if (output.json) output.printJson({ documents: results })
  return results.some((result) => 'error' in result) ? EXIT.failed : EXIT.ok
}

async function attempt(
  file: string,
  { output, interrupts }: Context,
  work: () => Promise<Added>,
): Promise<Added | Refused> {
  try {
    return await work()
  } catch (error) {
    // No mesh, or Ctrl-C: the other files would fare the same.
    if (
      interrupts.first.aborted ||
      (error instanceof EarshotError &&
        ['EARSHOT_UNREACHABLE', 'EARSHOT_UNAUTHORIZED'].includes(error.code))
    )
      throw error
    const body = errorBody(error)
    output.note(
      `earshot: ${safe(file)}: ${body.message}${body.hint === undefined ? '' : `\n  ${body.hint}`}`,
    )
    return { file, error: body }
  }
}

async function send(
  { client, output, interrupts, surroundings }: Context,
  file: string,
  how: { class?: 'interactive'; language?: string },
): Promise<Added> {
  const signal = interrupts.first
  const whole = path.resolve(surroundings.cwd, file)
  const size = await sizeOf(whole, file)
  const title = path.basename(whole)
  const progress = createProgress(output, `${safe(title)}: sending`)
  const media = await client
    .addMedia(await openAsBlob(whole), {
      signal,
      onProgress: (sent) => progress.update(sent / size),
    })
    .finally(progress.stop)
  const kind = /\.txt$/i.test(title) ? 'text' : 'audio'
  const added: AddedDocument = await client.addDocument(
    { media: media.hash, title, kind, ...how },
    { signal },
  )
  if (!output.json) {
    const already = added.duplicate
      ? ` The same content is there already; nothing was added.${how.language === undefined ? '' : ` To transcribe it again: earshot enqueue transcribe '${JSON.stringify({ media: media.hash, language: how.language })}' --wait`}`
      : ''
    output.note(
      `${safe(file)}: document ${added.document_id}, job ${added.job_id}, ${bytes(size)}.${already}`,
    )
  }
  return {
    file,
    document: added.document_id,
    job: added.job_id,
    hash: media.hash,
    size: media.size,
    duplicate: added.duplicate,
  }
}

async function sizeOf(whole: string, file: string): Promise<number> {
  const facts = await stat(whole).catch((cause: NodeJS.ErrnoException) => {
    throw new EarshotError(
      'EARSHOT_NOT_FOUND',
      cause.code === 'ENOENT'
        ? `There is no file ${file}.`
        : `${file} cannot be read: ${cause.message}.`,
      { field: 'file', cause },
    )
  })
  if (!facts.isFile())
    throw new EarshotError(
      'EARSHOT_MEDIA_REFUSED',
      `${file} is ${facts.isDirectory() ? 'a folder' : 'not a regular file'}; only files can be added.`,
      { field: 'file' },
    )
  if (facts.size === 0)
    throw new EarshotError('EARSHOT_MEDIA_EMPTY', `${file} is empty.`, { field: 'file' })
  return facts.size
}

/** Waits until the document is searchable, then prints its transcript. */
async function finish(
  { client, output, interrupts }: Context,
  added: Added,
  several: boolean,
): Promise<Added> {
  const signal = interrupts.first
  const progress = createProgress(output, safe(added.file))
  const stopTelling = tellPlace(client, added.job, progress)
  const job = await client
    .wait(added.job, { signal, onProgress: progress.update, onTrouble: troubleTeller(output) })
    .finally(() => {
      stopTelling()
      progress.stop()
    })
  if (job.status !== 'completed') throw unfinished(job)
  const document = await ready(client, added.document, signal)
  if (document.error !== null) throw new EarshotError(document.error.code, document.error.message)
  const text = await client.transcript(added.document, 'txt', { signal })
  if (!output.json) {
    if (several)
      output.print(
        output.bold(
          `${safe(added.file)}${document.duration_s === null ? '' : ` (${clock(document.duration_s)})`}`,
        ),
      )
    if (document.segments === 0) output.note(noWords(document))
    document.warnings.forEach((warning) => output.note(safe(warning)))
    output.printRaw(text)
  }
  return { ...added, status: document.status, text }
}

const LOOK_AGAIN_MS = 200
const TELL_MS = 2_000

/**
 * While a job waits for a node, says so and how many go before it: no per cent of what has not
 * begun.
 */
function tellPlace(client: Context['client'], job: number, progress: Progress): () => void {
  const timer = setInterval(() => {
    client.why(job).then(
      ({ status, position, before_in_other_lanes: others, sentence }) => {
        if (status !== 'pending' && status !== 'blocked') return progress.say('working')
        const before = position === null ? null : position - 1 + (others ?? 0)
        progress.say(before === null ? sentence : `waiting, ${before} before it`)
      },
      // The wait itself tells what is wrong with the mesh.
      () => undefined,
    )
  }, TELL_MS)
  timer.unref()
  return () => clearInterval(timer)
}

/**
 * The document once it is ready or failed. Asked for rather than listened to: its chunks follow the
 * transcript at once.
 */
async function ready(
  client: Context['client'],
  id: number,
  signal: AbortSignal,
): Promise<DocumentView> {
  for (;;) {
    const document = await client.document(id, { signal })
    if (document.status === 'ready' || document.status === 'failed') return document
    await pause(LOOK_AGAIN_MS, undefined, { signal })
  }
}
