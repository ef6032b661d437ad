// Prints what happens in the mesh until a document is ready: node examples/follow.ts
import { createClient } from '@earshot/sdk'

const earshot = createClient({ url: process.env.EARSHOT_URL ?? 'http://127.0.0.1:7700' })

// Resumes by itself after a cut connection; nothing is skipped and nothing comes twice.
for await (const event of earshot.events({ since: '0' })) {
  console.log(event.type, event.job_id ?? '', 'node' in event ? (event.node ?? '') : '')
  if (event.type === 'document.ready') break
}
