import { rm } from 'node:fs/promises'
import { listWhisperModels } from '@earshot/worker/engines/whisper-models'
import { removeOllama } from '@earshot/worker/engines/ollama'
import type { Context } from '../context.ts'
import { listModels, unknownModel } from '../models.ts'

/** `earshot models rm NAME`: deletes a model of whisper.cpp or Ollama from this box. */
export async function run(context: Context, [name = '']: string[]): Promise<void> {
  const { config, output, interrupts } = context
  const file = (await listWhisperModels(config.home)).find((model) => [name, `whisper-${name}`, name.replace(/^whisper-node-/, 'whisper-')].includes(model.name))
  if (file !== undefined) await rm(file.file, { force: true })
  else {
    const rows = await listModels(context)
    if (!rows.some((row) => row.engine === 'ollama' && (row.name === name || row.name === `${name}:latest`))) throw unknownModel(name, rows)
    await removeOllama(config.ollamaHost, name, interrupts.first)
  }
  if (output.json) output.printJson({ removed: file?.name ?? name })
  else output.print(`${file?.name ?? name} is no longer on this box.`)
}
