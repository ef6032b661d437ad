import path from 'node:path'
import type { TextToSpeech } from '../engines/engine.ts'
import type { BuiltIn } from '../handle.ts'
import type { MediaClient } from '../media.ts'

/** Text to a WAV file, which is with a coordinator before the job's result is reported. */
export function createSpeak({ media, engine }: { media: MediaClient; engine: TextToSpeech }): BuiltIn<'speak'> {
  return async ({ text, voice }, { signal, dir }) => {
    const out = path.join(dir, 'speech.wav')
    const { duration_s } = await engine.speak({ text, voice, out, signal })
    return { media: await media.upload(out, 'audio/wav', signal), duration_s, engine: engine.name }
  }
}
