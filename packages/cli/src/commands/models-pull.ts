import { EarshotError } from '@earshot/contract'
import { findDownloadable, WHISPER_MODELS, WHISPER_SOURCE } from '@earshot/worker/models/catalogue'
import { download } from '@earshot/worker/models/download'
import { pullOllama } from '@earshot/worker/engines/ollama'
import { whisperFolder } from '@earshot/worker/engines/whisper-models'
import type { Context } from '../context.ts'
import { createProgress } from '../progress.ts'
import { bytes } from '../wording.ts'

/**
 * `earshot models pull NAME`: a model of whisper.cpp into EARSHOT_HOME, any other through Ollama. A
 * running worker offers it within half a minute.
 */
export async function run(
  { config, output, interrupts }: Context,
  [name = '']: string[],
  options: { from?: string },
): Promise<void> {
  const signal = interrupts.first
  if (options.from !== undefined && !/^https?:$/.test(URL.parse(options.from)?.protocol ?? '')) {
    throw new EarshotError(
      'EARSHOT_BAD_REQUEST',
      `"${options.from}" is no address to load models from.`,
      { field: '--from', hint: 'Expected an address such as http://192.168.1.5:8000/models' },
    )
  }
  const progress = createProgress(output, name)
  try {
    const model = findDownloadable(name)
    if (model !== undefined) {
      const file = await download(model, {
        source: options.from ?? WHISPER_SOURCE,
        folder: whisperFolder(config.home),
        signal,
        onProgress: progress.update,
      })
      if (output.json)
        output.printJson({ model: model.name, engine: 'whisper.cpp', file, size_bytes: model.size })
      else
        output.print(
          `Here is ${model.name}: ${file}, ${bytes(model.size)}. A running worker offers it within half a minute.`,
        )
      return
    }
    await pullOllama(config.ollamaHost, name, { signal, onProgress: progress.update })
    if (output.json) output.printJson({ model: name, engine: 'ollama' })
    else output.print(`Ollama has ${name}. A running worker offers it within half a minute.`)
  } catch (err) {
    if (err instanceof EarshotError && err.code === 'EARSHOT_ENGINE_MISSING') {
      throw new EarshotError(
        'EARSHOT_ENGINE_MISSING',
        `${name} is no model of whisper.cpp, and through Ollama it cannot be had: ${err.message}`,
        {
          hint: `Models of whisper.cpp: ${WHISPER_MODELS.map((model) => model.name.slice('whisper-'.length)).join(', ')}.`,
          cause: err,
        },
      )
    }
    throw err
  } finally {
    progress.stop()
  }
}
