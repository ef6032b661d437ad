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
 * Flite, CMU's small speech synthesiser (Black and Lenzo, 2001): text to speech in English, without
 * a download.
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

/** Letters that are no letter with a mark. */
const LETTERS: Readonly<Record<string, string>> = {
  ß: 'ss',
  ẞ: 'SS',
  Æ: 'Ae',
  æ: 'ae',
  Œ: 'Oe',
  œ: 'oe',
  Ø: 'O',
  ø: 'o',
  Ł: 'L',
  ł: 'l',
  Đ: 'D',
  đ: 'd',
  Ð: 'D',
  ð: 'd',
  Þ: 'Th',
  þ: 'th',
  Ħ: 'H',
  ħ: 'h',
  ı: 'i',
  '⁄': '/',
}
const SIGNS: Readonly<Record<string, string>> = {
  '€': 'euros',
  '£': 'pounds',
  '¥': 'yen',
  '¢': 'cents',
  '₹': 'rupees',
  '°': 'degrees',
  '×': 'times',
  '÷': 'divided by',
  '±': 'plus or minus',
  '−': 'minus',
  '§': 'section',
  '©': 'copyright',
}
const LETTER = new RegExp(`[${Object.keys(LETTERS).join('')}]`, 'g')
const SIGN = new RegExp(`[${Object.keys(SIGNS).join('')}]`, 'g')

/**
 * Flite reads bytes, not characters: marks on letters are dropped, letters and signs that English
 * lacks are spelled out, other quotes and dashes made plain, and the rest of Unicode left out.
 *
 * @example
 * toSayable('Łódź: £5') // 'Lodz: 5 pounds '
 */
export function toSayable(text: string): string {
  return (
    text
      .normalize('NFKD')
      .replace(LETTER, (letter) => LETTERS[letter]!)
      // The amount is said before its currency.
      .replace(/([€£¥₹]) ?(\d[\d,]{0,20}(?:\.\d{1,4})?)/g, '$2 $1')
      .replace(SIGN, (sign) => ` ${SIGNS[sign]} `)
      .replace(/\p{Mn}+/gu, '')
      .replace(/[‘’]/g, "'")
      .replace(/[“”„«»]/g, '"')
      .replace(/[–—]/g, ', ')
      .replace(/[^\x20-\x7e\n]+/g, ' ')
  )
}
