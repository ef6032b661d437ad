import { WrongArguments } from '../exit-code.ts'

/** Reads a job's number. @throws WrongArguments */
export function jobId(text: string): number {
  const id = Number(text)
  if (/^\d+$/.test(text) && Number.isSafeInteger(id) && id > 0) return id
  throw new WrongArguments(`${JSON.stringify(text)} is not the number of a job.`, {
    field: 'id',
    hint: 'List jobs with: earshot jobs',
  })
}
