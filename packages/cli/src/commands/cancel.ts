import type { Context } from '../context.ts'
import { EXIT } from '../exit-code.ts'
import { counted } from '../wording.ts'
import { jobId } from './job-id.ts'

/** `earshot cancel ID…`: cancels jobs; exit code 1 when one of them was no longer open. */
export async function run(
  { client, output, interrupts }: Context,
  args: string[],
): Promise<number> {
  const ids = [...new Set(args.map(jobId))]
  const { cancelled } = await client.cancel(ids.length === 1 ? (ids[0] ?? 0) : ids, {
    signal: interrupts.first,
  })
  const late = ids.filter((id) => !cancelled.includes(id))
  if (output.json) output.printJson({ cancelled })
  else {
    if (cancelled.length > 0)
      output.print(`Cancelled ${counted(cancelled.length, 'job')}: ${cancelled.join(', ')}.`)
    if (late.length > 0) output.note(`Not open any more, or never there: ${late.join(', ')}.`)
  }
  return late.length === 0 ? EXIT.ok : EXIT.failed
}
