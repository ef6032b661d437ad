// Joins the mesh and counts words: DATABASE_URL=postgres://… node examples/custom-kind/worker.ts
import { handle, runWorker } from '@earshot/worker'
import { wordCount } from './kind.ts'

const SLICE = 10_000

const countWords = handle(wordCount, async ({ text, top }, { signal, progress }) => {
  const counts = new Map<string, number>()
  const found = text.toLowerCase().match(/[\p{L}\p{N}'’-]+/gu) ?? []
  for (let at = 0; at < found.length; at += SLICE) {
    // Fires when the job is cancelled, or is no longer this worker's.
    signal.throwIfAborted()
    for (const word of found.slice(at, at + SLICE)) counts.set(word, (counts.get(word) ?? 0) + 1)
    progress((at + SLICE) / found.length)
    await new Promise(setImmediate)
  }
  const ranked = [...counts].sort(([a, many], [b, more]) => more - many || a.localeCompare(b))
  return {
    words: found.length,
    distinct: counts.size,
    frequent: ranked.slice(0, top).map(([word, count]) => ({ word, count })),
  }
})

await runWorker({ kinds: [countWords] })
