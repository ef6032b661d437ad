// Has the words of text files counted, wherever there is a worker: node
// examples/custom-kind/enqueue.ts talk.txt notes.txt
import { readFile } from 'node:fs/promises'
import { createClient } from '@earshot/sdk'
import { wordCount } from './kind.ts'

const earshot = createClient({
  url: process.env.EARSHOT_URL ?? 'http://127.0.0.1:7700',
  key: process.env.EARSHOT_KEY,
})
// Known from here on: the jobs wait until the first worker joins.
await earshot.register(wordCount)

await Promise.all(
  process.argv.slice(2).map(async (file) => {
    const job = await earshot.enqueue(wordCount, { text: await readFile(file, 'utf8') })
    const { status, result, error } = await earshot.wait(job)
    if (result === null) throw new Error(`${file}: job ${job.id} is ${status}: ${error?.message}`)
    const frequent = result.frequent.map(({ word, count }) => `${word} ${count}`).join(', ')
    console.log(
      `${file}: ${result.words} words, ${result.distinct} different ones; most of all ${frequent}`,
    )
  }),
)
