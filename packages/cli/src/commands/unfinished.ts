import { EarshotError, type JobView } from '@earshot/contract'

/** The error of a job that ended without a result: its own, or that it was cancelled. */
export function unfinished(job: JobView): EarshotError {
  const hint = `What happened to it: earshot job ${job.id}`
  if (job.error !== null)
    return new EarshotError(job.error.code ?? 'EARSHOT_INTERNAL', job.error.message, { hint })
  if (job.status === 'cancelled')
    return new EarshotError('EARSHOT_CANCELLED', `Job ${job.id} was cancelled.`, { hint })
  return new EarshotError('EARSHOT_INTERNAL', `Job ${job.id} is ${job.status} but has no result.`, {
    hint,
  })
}
