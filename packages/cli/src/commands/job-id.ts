import { EarshotError } from '@earshot/shared/contract'

/** Reads a job's number. @throws EarshotError EARSHOT_BAD_REQUEST */
export function jobId(text: string): number {
  const id = Number(text)
  if (/^\d+$/.test(text) && Number.isSafeInteger(id) && id > 0) return id
  throw new EarshotError('EARSHOT_BAD_REQUEST', `${JSON.stringify(text)} is not the number of a job.`, { field: 'id', hint: 'List jobs with: earshot jobs' })
}
