import type { JobChoice, JobStatus } from '@earshot/contract'
import type { Context } from '../context.ts'
import { EXIT, WrongArguments } from '../exit-code.ts'
import { counted } from '../wording.ts'
import { jobId } from './job-id.ts'
import { jobTable } from './jobs.ts'

export type ChoiceOptions = {
  status?: JobStatus
  kind?: string
  node?: string
  older?: number
  dryRun?: boolean
}

/** How many of the jobs a dry run shows in its table. */
const SHOWN = 50

/**
 * The jobs that arguments and options name together.
 *
 * @throws WrongArguments when they name none: that would mean all
 */
function choiceOf(
  args: readonly string[],
  { status, kind, node, older }: ChoiceOptions,
): JobChoice {
  const choice: JobChoice = {
    ...(args.length === 0 ? {} : { ids: [...new Set(args.map(jobId))] }),
    ...(status === undefined ? {} : { status: [status] }),
    ...(kind === undefined ? {} : { kind }),
    ...(node === undefined ? {} : { node }),
    ...(older === undefined ? {} : { older_s: older }),
  }
  if (Object.keys(choice).length > 0) return choice
  throw new WrongArguments(
    'Say which jobs: by their numbers, or by --status, --kind, --node or --older.',
    { hint: 'With --dry-run nothing is changed.' },
  )
}

/**
 * Runs `earshot jobs retry` or `earshot jobs cancel`; exit code 1 when a job that was named by its
 * number was left as it is.
 */
export async function changeJobs(
  { client, output, interrupts }: Context,
  action: 'retry' | 'cancel',
  args: string[],
  options: ChoiceOptions,
): Promise<number> {
  const choice = choiceOf(args, options)
  const request = { dry_run: options.dryRun === true, signal: interrupts.first }
  const answer =
    action === 'retry' ? await client.retry(choice, request) : await client.cancel(choice, request)
  const changed = 'retried' in answer ? answer.retried : answer.cancelled
  const left = (choice.ids ?? []).filter((id) => !changed.includes(id))
  if (output.json) output.printJson(answer)
  else {
    const done = action === 'retry' ? 'tried again' : 'cancelled'
    output.print(
      request.dry_run
        ? `${counted(changed.length, 'job')} would be ${done}:`
        : `${counted(changed.length, 'job')} ${changed.length === 1 ? 'is' : 'are'} ${done}.`,
    )
    const shown = changed.slice(0, SHOWN)
    if (request.dry_run && shown.length > 0)
      for (const line of jobTable(
        output,
        await client.jobs({ ids: shown, limit: SHOWN, signal: interrupts.first }),
      ))
        output.print(line)
    if (request.dry_run && changed.length > shown.length)
      output.print(`and ${changed.length - shown.length} more`)
    if (left.length > 0) output.note(`Left as they are: ${left.join(', ')}.`)
  }
  return left.length === 0 ? EXIT.ok : EXIT.failed
}
