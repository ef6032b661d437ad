import { choose } from '@earshot/worker/engines/chosen-models'
import type { Context } from '../context.ts'
import { listModels, unknownModel } from '../models.ts'
import { safe } from '../wording.ts'

/** `earshot models use NAME`: what jobs get on this box that name no model. */
export async function run(context: Context, [name = '']: string[]): Promise<void> {
  const { config, output } = context
  const rows = (await listModels(context)).filter((row) => row.state !== 'available')
  const found = rows.filter(
    (row) => row.name === name || row.name === `whisper-${name}` || row.name === `${name}:latest`,
  )
  if (found.length === 0) throw unknownModel(name, rows)
  for (const { kind, name: whole } of found) await choose(config.home, kind, whole)
  const kinds = found.map(({ kind }) => kind)
  if (output.json) output.printJson({ model: found[0]!.name, kinds })
  else
    output.print(
      `Jobs of kind ${kinds.join(', ')} that name no model get ${safe(found[0]!.name)} on this box; a running worker goes by it within half a minute.`,
    )
}
