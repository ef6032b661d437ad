import { EarshotError } from '@earshot/contract'
import { rm } from 'node:fs/promises'
import { listWhisperModels } from '@earshot/worker/engines/whisper-models'
import { removeOllama } from '@earshot/worker/engines/ollama'
import type { Context } from '../context.ts'
import { listModels, unknownModel } from '../models.ts'

/** `earshot models rm NAME`: deletes a model of whisper.cpp or Ollama from this box. */
export async function run(context: Context, [name = '']: string[]): Promise<void> {
  const { config, output, interrupts } = context
  const file = (await listWhisperModels(config.home)).find((model) =>
    [name, `whisper-${name}`, name.replace(/^whisper-node-/, 'whisper-')].includes(model.name),
  )
  if (file !== undefined) await rm(file.file, { force: true })
  else {
    const rows = await listModels(context)
    const here = rows.find(
      (row) => row.state !== 'available' && (row.name === name || row.name === `${name}:latest`),
    )
    if (here === undefined) throw unknownModel(name, rows)
    if (here.engine !== 'ollama')
      throw new EarshotError('EARSHOT_BAD_REQUEST', `Model "${name}" is part of ${here.engine}.`, {
        field: 'model',
        hint: 'Only models of whisper.cpp and Ollama can be deleted from here.',
      })
    await removeOllama(config.ollamaHost, name, interrupts.first)
  }
  if (output.json) output.printJson({ removed: file?.name ?? name })
  else output.print(`${file?.name ?? name} is no longer on this box.`)
}
