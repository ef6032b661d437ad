import { readFile, rename, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { EarshotError } from '@earshot/contract'
import { decode } from '../audio/decode.ts'
import { BYTES_PER_S, HEADER_BYTES, SAMPLE_RATE } from '../audio/wav.ts'
import type { Programs, TextToSpeech } from './engine.ts'
import { reportOf, versionOf } from './probe.ts'
import { endedBadly, runProgram, speakingLimitS } from '../process/run-program.ts'
import { inFolder } from '../process/scratch.ts'

const DEFAULT_VOICE = 'slt'
/** Knows how to say the time, and nothing else. */
const LIMITED_VOICE = 'awb_time'
/** 20,000 characters, the most that a job carries, are under half an hour of speech. */
const LIMITS = { memoryMb: 2048, cpuS: 600, fileBytes: 2 ** 30 }

/**
 * Flite, CMU's small speech synthesiser (Black and Lenzo, 2001): text to speech in English, without a download.
 *
 * @example
 * await createFlite().speak({ text: 'Hello there.', out: '/tmp/hello.wav', signal })
 */
export function createFlite({ programs = {} }: { programs?: Programs } = {}): TextToSpeech {
  const program = programs.flite ?? 'flite'

  async function listVoices(signal?: AbortSignal): Promise<string[]> {
    const ended = await runProgram({ program, args: ['-lv'], signal, quietLimitS: 30 })
    const listed = /^Voices available:(.*)$/m.exec(ended.stdout)?.[1]
    if (ended.code !== 0 || listed === undefined) throw endedBadly('flite', ended)
    return listed
      .trim()
      .split(/\s+/)
      .filter((voice) => voice !== LIMITED_VOICE)
  }

  return {
    name: 'flite',
    kind: 'speak',
    probe: (signal) =>
      reportOf(
        async () => {
          await listVoices(signal)
          return versionOf(program, /version: flite-([\d.]+)/, signal)
        },
        { missing: 'flite' },
      ),
    models: async (signal) => [
      { name: 'flite', size_bytes: null, voices: await listVoices(signal) },
    ],
    async speak({ text, voice = DEFAULT_VOICE, out, signal }) {
      const voices = await listVoices(signal)
      if (!voices.includes(voice)) {
        throw new EarshotError('EARSHOT_BAD_REQUEST', `There is no voice "${voice}".`, {
          field: 'voice',
          hint: `Voices on this node: ${voices.join(', ')}.`,
        })
      }
      const sayable = toSayable(text)
      if (!/[\p{L}\p{N}]/u.test(sayable)) {
        throw new EarshotError(
          'EARSHOT_BAD_REQUEST',
          'The text has no word that the English voice can speak.',
          { field: 'text' },
        )
      }
      return { duration_s: await speakTo({ program, text: sayable, voice, out, signal }) }
    },
  }
}

function speakTo({
  program,
  text,
  voice,
  out,
  signal,
}: {
  program: string
  text: string
  voice: string
  out: string
  signal: AbortSignal
}): Promise<number> {
  return inFolder('speak', async (dir) => {
    const source = path.join(dir, 'text.txt')
    const spoken = path.join(dir, 'speech.wav')
    await writeFile(source, `${text}\n`)
    const ended = await runProgram({
      program,
      args: ['-voice', voice, '-f', source, '-o', path.resolve(out)],
      signal,
      quietLimitS: speakingLimitS(text),
      limits: LIMITS,
    })
    const { size } = await stat(out).catch(() => ({ size: 0 }))
    if (ended.code !== 0 || size <= HEADER_BYTES) throw endedBadly('flite', ended)
    if ((await readFile(out)).readUInt32LE(24) === SAMPLE_RATE)
      return (size - HEADER_BYTES) / BYTES_PER_S
    // The voice `kal` speaks at 8 kHz.
    const { duration_s } = await decode({ file: out, out: spoken, signal })
    await rename(spoken, out)
    return duration_s
  })
}

/**
 * Flite reads bytes, not characters: marks on letters are dropped, other quotes and dashes made plain, and the rest of
 * Unicode left out.
 */
export function toSayable(text: string): string {
  return text
    .normalize('NFKD')
    .replace(/\p{Mn}+/gu, '')
    .replace(/[‘’]/g, "'")
    .replace(/[“”„«»]/g, '"')
    .replace(/[–—]/g, ', ')
    .replace(/[^\x20-\x7e\n]+/g, ' ')
}
