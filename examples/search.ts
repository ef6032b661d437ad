// Prints where something was said: node examples/search.ts "budget meeting"
import { createClient } from '@earshot/sdk'

const [query = 'budget meeting'] = process.argv.slice(2)
const earshot = createClient({ url: process.env.EARSHOT_URL ?? 'http://127.0.0.1:7700' })

const { hits } = await earshot.search(query, { limit: 5 })
if (hits.length === 0) console.log(`No one said “${query}”.`)
for (const { title, start_s, text } of hits) {
  console.log(`${title}${start_s === null ? '' : ` at ${start_s.toFixed(1)} s`}: ${text}`)
}
