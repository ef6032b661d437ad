import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'

const execute = promisify(execFile)

/**
 * Sentences that the small recogniser hears well in flite's voice, and that share no telling word.
 */
export const SENTENCES = [
  { text: 'the weather report says rain in the morning', words: ['weather', 'rain'] },
  { text: 'please send the money to the hospital today', words: ['money', 'hospital'] },
  { text: 'the children went to school with their teacher', words: ['children', 'school'] },
  { text: 'our company will build a new factory next year', words: ['company', 'factory'] },
] as const

/** A WAV file in which flite speaks this text: 16 kHz, mono. */
export async function speakFile(file: string, text: string): Promise<string> {
  const words = `${file}.words`
  await writeFile(words, text)
  await execute('flite', ['-voice', 'slt', '-f', words, '-o', file])
  return file
}

/**
 * A WAV file with the texts spoken one after another, each preceded by this many seconds of
 * silence.
 */
export async function speakApart(
  folder: string,
  name: string,
  texts: readonly string[],
  gapS: number,
): Promise<string> {
  const parts = await Promise.all(
    texts.map((text, i) => speakFile(path.join(folder, `.part-${i}.wav`), text)),
  )
  const inputs = parts.flatMap((part) => ['-i', part])
  const delays = parts.map((_, i) => `[${i}]adelay=${gapS * 1000}[p${i}]`).join(';')
  const chain = parts.map((_, i) => `[p${i}]`).join('')
  const out = path.join(folder, name)
  await execute('ffmpeg', [
    '-nostdin',
    '-loglevel',
    'error',
    '-y',
    ...inputs,
    '-filter_complex',
    `${delays};${chain}concat=n=${parts.length}:v=0:a=1`,
    out,
  ])
  return out
}
