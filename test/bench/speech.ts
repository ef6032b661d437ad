import { copyFile } from 'node:fs/promises'
import path from 'node:path'
import { createPocketsphinx } from '@earshot/worker/engines/pocketsphinx'
import { SENTENCES, speakFile } from '../helpers/speech.ts'
import { follow } from './events.ts'
import { type Bench, type Figure, figure } from './figures.ts'
import type { BenchMesh } from './mesh.ts'

/** A sentence takes flite about 2.8 s. */
const SENTENCE_S = 2.8

/**
 * Minutes of speech, dropped, until the document is ready, against the engine alone on the same
 * file: heard before and after the mesh hears it, since a shared machine changes its speed, and
 * never at the same time.
 */
export async function measureSpeech(
  { minutes, database, folder, say }: Bench,
  { client, inbox }: BenchMesh,
): Promise<Figure[]> {
  const file = path.join(folder, 'speech.wav')
  const sentences = Array.from(
    { length: Math.round((minutes * 60) / SENTENCE_S) },
    (_, i) => SENTENCES[i % SENTENCES.length]!.text,
  )
  await speakFile(file, `${sentences.join('. ')}.`)
  const engine = createPocketsphinx()
  await engine.probe()
  const alone = async () => {
    say(`the engine alone (${database})`)
    const began = performance.now()
    await engine.transcribe({
      wav: file,
      duration_s: minutes * 60,
      signal: new AbortController().signal,
    })
    return (performance.now() - began) / 1000
  }
  const before = await alone()
  say(`the mesh (${database})`)
  await using events = await follow(client)
  const ready = events.next(
    (event) => event.type === 'document.ready' || event.type === 'job.failed',
    3600,
  )
  const began = performance.now()
  await copyFile(file, path.join(inbox, 'speech.wav'))
  const { type, seenAt } = await ready
  if (type !== 'document.ready') throw new Error('The speech was not heard.')
  const whole = (seenAt - began) / 1000
  const after = await alone()
  const base = (before + after) / 2
  return [
    figure(`engine alone, ${minutes} min of speech`, database, [before, after], 's'),
    figure(
      'drop → document ready, the same file',
      database,
      [whole],
      's',
      `≤ ${(1.05 * base + 1).toFixed(1)} s`,
    ),
    figure('  of that, what the mesh adds', database, [whole - base], 's'),
  ]
}
