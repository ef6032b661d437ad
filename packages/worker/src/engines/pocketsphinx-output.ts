import type { Word } from '@earshot/contract'
import { z } from 'zod'

/**
 * `word start end confidence`, a line a word, as `pocketsphinx_continuous -time yes` prints below
 * each utterance.
 */
const LINE_0_8 = /^(\S+) (\d+\.\d+) (\d+\.\d+) (\d+\.\d+(?:e[+-]?\d+)?)$/

/**
 * The word of one output line of `pocketsphinx_continuous` (0.8); nothing for sentences and
 * silences. Times count from the start of the file.
 *
 * @example
 * parseLine08('quick 1.290 1.560 0.162673') // [{ text: 'quick', start_s: 1.29, end_s: 1.57, confidence: 0.162673 }]
 */
export function parseLine08(line: string): Word[] {
  const [, text = '', start, end, confidence] = LINE_0_8.exec(line) ?? []
  // Frames are 10 ms, and the printed end is the last frame's beginning.
  return start === undefined
    ? []
    : wordOf(text, Number(start), Number(end) + 0.01, Number(confidence))
}

const Timed = z.object({ b: z.number(), d: z.number(), p: z.number(), t: z.string() })
const Utterance = z.object({ w: z.array(Timed) })

/**
 * The words of one output line of `pocketsphinx live` (5.x), a JSON object an utterance. Times
 * count from the start of the file.
 *
 * @throws SyntaxError or ZodError on a line of another shape
 * @example
 * parseLine5('{"b":1.2,"d":0.5,"p":0.9,"t":"fox","w":[{"b":1.2,"d":0.5,"p":0.9,"t":"fox"}]}')
 */
export function parseLine5(line: string): Word[] {
  if (line.trim() === '') return []
  return Utterance.parse(JSON.parse(line)).w.flatMap(({ b, d, p, t }) => wordOf(t, b, b + d, p))
}

/**
 * Leaves out `<s>`, `</s>`, `<sil>` and `[NOISE]`; `the(2)` is the second way to pronounce "the".
 */
function wordOf(spoken: string, start: number, end: number, confidence: number): Word[] {
  const text = spoken.replace(/\(\d+\)$/, '')
  if (text === '' || /^(?:<.*>|\[.*\]|\+\+.*\+\+)$/.test(text)) return []
  return [{ text, start_s: start, end_s: end, confidence: Math.min(1, Math.max(0, confidence)) }]
}
