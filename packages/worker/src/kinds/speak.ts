import path from 'node:path'
import { KINDS } from '@earshot/shared/contract'
import type { TextToSpeech } from '../engines/engine.ts'
import type { MediaClient } from '../media.ts'
import type { Handler } from '../run-job.ts'

/** Text to a WAV file, which is with a coordinator before the job's result is reported. */
export function createSpeak({ media, engine }: { media: MediaClient; engine: TextToSpeech }): Handler {
  return async ({ payload }, { signal, dir }) => {
    const { text, voice } = KINDS.speak.payload.parse(payload)
    const out = path.join(dir, 'speech.wav')
    const { duration_s } = await engine.speak({ text, voice, out, signal })
    return { media: await media.upload(out, 'audio/wav', signal), duration_s, engine: engine.name }
  }
}
