// The process in which whisper-node runs; started by whisper-node.ts, with its task on standard
// input. What whisper.cpp prints comes out as it is.
import { createRequire } from 'node:module'
import { text } from 'node:stream/consumers'
import type { WhisperNodeTask } from './whisper-node.ts'

/**
 * What we use of whisper-node 1.1. It resolves with what it made of the lines, of which it drops
 * the first, and tells failures to the console alone.
 */
type WhisperNode = {
  whisper(
    file: string,
    options: { modelPath: string; whisperOptions: object; shellOptions: object },
  ): Promise<unknown>
}

const { entry, dir, language } = JSON.parse(await text(process.stdin)) as WhisperNodeTask
let failed = false
console.log = (what: unknown, how: unknown) => {
  // What the program said, when it ended badly; where nothing was heard, it stumbles over that (a
  // TypeError).
  if (String(what).includes('Problem') && !(how instanceof TypeError)) failed = true
}
const { whisper } = createRequire(entry)(entry) as WhisperNode
// Loading it went to its own folder; `./main` is looked for where we are.
process.chdir(dir)
await whisper('audio.wav', {
  modelPath: './model.bin',
  whisperOptions: { language, word_timestamps: false },
  shellOptions: { silent: false },
})
if (failed) process.exitCode = 1
