import { access, copyFile, open, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { siblingModule } from '@earshot/db/sibling-module'
import { EarshotError, type Segment } from '@earshot/contract'
import { type AudioPiece, piecesOf } from '../audio/pieces.ts'
import { BYTES_PER_S, wavHeader } from '../audio/wav.ts'
import type { EngineReport, Heard, SpeechToText } from './engine.ts'
import { reportOf } from './probe.ts'
import { endedBadly, runProgram } from '../process/run-program.ts'
import { inFolder } from '../process/scratch.ts'
import { createSerialQueue } from './serial-queue.ts'
import { resolveFrom } from './whisper-build.ts'
import { type WhisperModel, listWhisperModels, quietLimitOf } from './whisper-models.ts'
import { segmentsOf } from './whisper-words.ts'

type Hearing = Parameters<SpeechToText['transcribe']>[0]
type Installed = { entry: string; main: string; version: string }
/** What the child reads on its standard input. `dir` holds `main`, `model.bin` and `audio.wav`. */
export type WhisperNodeTask = { entry: string; dir: string; language: string }

/** It refuses less than a second. */
const LEAST_BYTES = BYTES_PER_S * 1.1
/** `[00:00:01.000 --> 00:00:02.500]   What was said.` */
const LINE = /^\[([\d:.]+) --> ([\d:.]+)\] {2}(.*)$/

/**
 * The npm package whisper-node (https://www.npmjs.com/package/whisper-node), where someone
 * installed it: it runs the program `main` of the whisper.cpp that comes with it. It pastes what it
 * is given into a shell's command, and changes the working directory: so it runs in a process and a
 * folder of its own, where all that it is given has a name of ours.
 *
 * @param options.home models are those of whisper.cpp; the package is looked for in `engines`
 *   there, and beside this program
 */
export function createWhisperNode({
  home,
  quietLimitS,
}: { home?: string | undefined; quietLimitS?: number } = {}): SpeechToText {
  const serialQueue = createSerialQueue()
  const nameOf = ({ name }: WhisperModel): string => name.replace(/^whisper-/, 'whisper-node-')
  const listModels = async () =>
    home === undefined ? [] : (await listWhisperModels(home)).toSorted((a, b) => a.size - b.size)

  async function probe(signal?: AbortSignal): Promise<EngineReport> {
    const installed = await find(home)
    if (installed === undefined)
      return { available: false, reason: 'whisper-node is not installed.', missing: 'whisper-node' }
    if ((await listModels()).length === 0)
      return {
        available: false,
        reason: 'There is no model for whisper-node.',
        missing: 'whisper-model',
      }
    if (
      !(await access(installed.main).then(
        () => true,
        () => false,
      ))
    ) {
      return {
        available: false,
        reason: `whisper-node is installed, and its whisper.cpp is not built. Run: make -C "${path.dirname(installed.main)}" main`,
        missing: 'whisper-node-build',
        broken: true,
      }
    }
    return reportOf(
      async () => {
        const ended = await runProgram({
          program: installed.main,
          args: ['--help'],
          signal,
          quietLimitS: 60,
        })
        if (ended.code !== 0) throw endedBadly('whisper-node', ended)
        return installed.version
      },
      { missing: 'whisper-node-build', broken: true },
    )
  }

  async function hear(input: Hearing): Promise<Heard> {
    const { wav, duration_s, model: name, language, translate, signal } = input
    const models = await listModels()
    const model = name === undefined ? models[0] : models.find((one) => nameOf(one) === name)
    const installed = await find(home)
    if (model === undefined || installed === undefined)
      throw new EarshotError(
        'EARSHOT_ENGINE_MISSING',
        model === undefined
          ? `There is no model ${name ?? 'for whisper-node'} on this node.`
          : 'whisper-node is not on this node any more.',
      )
    if (!model.multilingual && language !== undefined && language !== 'en')
      throw new EarshotError(
        'EARSHOT_BAD_REQUEST',
        `The model ${nameOf(model)} hears English only, not "${language}".`,
        { field: 'language' },
      )
    if (translate === true && language !== 'en')
      throw new EarshotError('EARSHOT_BAD_REQUEST', 'whisper-node cannot translate.', {
        field: 'translate',
      })
    const segments: Segment[] = []
    const spoken = model.multilingual ? (language ?? 'auto') : 'en'
    for await (const piece of piecesOf(wav, (await stat(wav)).size)) {
      segments.push(
        ...(await hearPiece(piece, {
          input,
          model,
          installed,
          language: spoken,
          quietLimitS: quietLimitS ?? quietLimitOf(model),
        })),
      )
      signal.throwIfAborted()
      input.onProgress?.(
        Math.min(1, (piece.start_s + piece.bytes / BYTES_PER_S) / Math.max(duration_s, 0.1)),
      )
    }
    return { words: [], segments, ...(spoken === 'auto' ? {} : { language: spoken }) }
  }

  return {
    name: 'whisper-node',
    kind: 'transcribe',
    parallel: 1,
    changes: true,
    runsHere: true,
    probe,
    models: async () =>
      (await listModels()).map((model) => ({
        name: nameOf(model),
        size_bytes: model.size,
        translates: false,
        ...(model.multilingual ? {} : { languages: ['en'] }),
      })),
    transcribe: (input) =>
      serialQueue.take(
        input.signal,
        () => input.onProgress?.(0),
        () => hear(input),
      ),
  }
}

async function find(home: string | undefined): Promise<Installed | undefined> {
  const entry = home === undefined ? undefined : resolveFrom('whisper-node', home)
  if (entry === undefined) return undefined
  const root = path.dirname(path.dirname(entry))
  const { version } = JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8')) as {
    version: string
  }
  return {
    entry,
    version,
    main: path.join(root, 'lib', 'whisper.cpp', process.platform === 'win32' ? 'main.exe' : 'main'),
  }
}

type Work = {
  input: Hearing
  model: WhisperModel
  installed: Installed
  language: string
  quietLimitS: number
}

function hearPiece(
  piece: AudioPiece,
  { input, model, installed, language, quietLimitS }: Work,
): Promise<Segment[]> {
  const { duration_s, signal, onHeard, onProgress } = input
  const at = {
    startS: piece.start_s,
    endS: Math.min(duration_s, piece.start_s + piece.bytes / BYTES_PER_S),
  }
  const segments: Segment[] = []
  return inFolder('whisper-node', async (dir) => {
    await writePiece(input.wav, piece, path.join(dir, 'audio.wav'))
    await link(model.file, path.join(dir, 'model.bin'))
    await link(installed.main, path.join(dir, path.basename(installed.main)))
    const task: WhisperNodeTask = { entry: installed.entry, dir, language }
    const ended = await runProgram({
      program: process.execPath,
      args: [fileURLToPath(siblingModule(import.meta.url, 'whisper-node-child'))],
      input: JSON.stringify(task),
      signal,
      quietLimitS,
      onLine: (line) => {
        const [, from, to, text] = LINE.exec(line) ?? []
        if (from === undefined || to === undefined || text === undefined) return
        const heard = segmentsOf([{ text, t0: msOf(from), t1: msOf(to) }], at)
        segments.push(...heard)
        if (heard.length > 0) onHeard?.(heard)
        onProgress?.(Math.min(1, (piece.start_s + msOf(to) / 1000) / Math.max(duration_s, 0.1)))
      },
    })
    if (ended.code !== 0) throw endedBadly('whisper-node', ended)
    return segments
  })
}

async function writePiece(wav: string, { from, bytes }: AudioPiece, file: string): Promise<void> {
  const samples = Buffer.alloc(Math.max(bytes, LEAST_BYTES))
  const source = await open(wav)
  try {
    await source.read(samples, 0, bytes, from)
  } finally {
    await source.close()
  }
  await writeFile(file, Buffer.concat([wavHeader(samples.length), samples]))
}

/** Windows lets only some people make links. */
async function link(file: string, as: string): Promise<void> {
  await symlink(file, as).catch(() => copyFile(file, as))
}

/** `00:01:02.500`, as milliseconds. */
const msOf = (time: string): number =>
  Math.round(time.split(':').reduce((sum, part) => sum * 60 + Number(part), 0) * 1000)
