import path from 'node:path'
import { encode, mimeOf } from '../audio/encode.ts'
import type { Engines } from '../engines/registry.ts'
import type { BuiltIn } from '../handle.ts'
import type { MediaClient } from '../media/client.ts'

/**
 * The model that speaks in this voice, where one is known to; a voice without its model is looked
 * for in all.
 */
function modelWith(engines: Engines, voice: string | undefined): string | undefined {
  const models = engines.serving.flatMap(({ engine, models }) =>
    engine.kind === 'speak' ? models : [],
  )
  return models.find(({ voices }) => voice !== undefined && voices?.includes(voice.split('+')[0]!))
    ?.name
}

/** Text to a sound file, which is with a coordinator before the job's result is reported. */
export function createSpeak({
  media,
  engines,
}: {
  media: MediaClient
  engines: Engines
}): BuiltIn<'speak'> {
  return async ({ text, voice, model: name, speed = 1, format = 'wav' }, { signal, dir }) => {
    const { engine, model } = engines.need('speak', name ?? modelWith(engines, voice))
    const spoken = path.join(dir, 'speech.wav')
    const { duration_s } = await engine.speak({
      text,
      voice,
      model: model.name,
      out: spoken,
      signal,
    })
    const as = { engine: engine.name, model: model.name, mime: mimeOf(format) }
    if (format === 'wav' && speed === 1)
      return { media: await media.upload(spoken, as.mime, signal), duration_s, ...as }
    const out = path.join(dir, `encoded.${format}`)
    await encode({ file: spoken, out, format, speed, signal })
    return {
      media: await media.upload(out, as.mime, signal),
      duration_s: duration_s / speed,
      ...as,
    }
  }
}
