// Has the mesh speak and saves the WAV file: node examples/speak.ts "Dinner is ready." dinner.wav
import { writeFile } from 'node:fs/promises'
import { createClient } from '@earshot/sdk'

const [text = 'Dinner is ready.', file = 'dinner.wav'] = process.argv.slice(2)
const earshot = createClient({ url: process.env.EARSHOT_URL ?? 'http://127.0.0.1:7700' })

// With the key, starting this twice makes one job.
const job = await earshot.enqueue('speak', { text }, { idempotency_key: `example ${text}` })
const { status, result, error } = await earshot.wait(job, { timeout_s: 60 })
if (result === null) throw new Error(`Job ${job.id} is ${status}: ${error?.message}`)
const { body } = await earshot.artifact(result.artifact_id)
await writeFile(file, body)
console.log(`${file}: ${result.duration_s} s of speech, made by ${result.engine}`)
