import type { Context } from '../context.ts'
import { listModels } from '../models.ts'
import { bytes, safe, table } from '../wording.ts'

/** `earshot models list`: the models of this box, and those of whisper.cpp that it could have. */
export async function run(context: Context): Promise<void> {
  const { output } = context
  const models = await listModels(context)
  if (output.json) return output.printJson({ models })
  const rows = models.map(({ name, kind, engine, size_bytes, state, default: first, problem }) => [
    safe(name),
    kind,
    safe(engine),
    size_bytes === null || size_bytes === 0 ? '' : bytes(size_bytes),
    first ? output.green(`${state}, default`) : state === 'available' ? output.dim(state) : state,
    safe(problem ?? ''),
  ])
  for (const line of table(['MODEL', 'KIND', 'ENGINE', 'SIZE', 'STATE', ''], rows))
    output.print(line)
}
