import type { Prunable } from '@earshot/contract'
import type { Context } from '../context.ts'
import { bytes, table } from '../wording.ts'

const NAMES: Record<Prunable['what'], string> = {
  speech: 'speech that was made',
  documents: 'documents',
  media: 'media that nothing refers to',
  archived: 'archived jobs',
  events: 'events about no job',
}

/** `earshot prune`: shows what is kept no longer; with `--yes` deletes it. */
export async function run(
  { client, output, interrupts }: Context,
  _: string[],
  { yes = false }: { yes?: boolean },
): Promise<void> {
  const answer = await client.prune({ dry_run: !yes, signal: interrupts.first })
  if (output.json) return output.printJson(answer)
  const rows = answer.things.map(({ what, keep_s: kept, items, bytes: size }) => [
    NAMES[what],
    kept === null ? 'for good' : `${Math.round((kept / 86_400) * 10) / 10} days`,
    String(items),
    size === null ? '' : bytes(size),
  ])
  const heading = answer.dry_run ? 'WOULD GO' : 'GOES'
  for (const line of table(['WHAT', 'KEPT', heading, 'FREES'], rows)) output.print(line)
  if (answer.dry_run) output.note('Nothing was changed. Delete it now with: earshot prune --yes')
}
