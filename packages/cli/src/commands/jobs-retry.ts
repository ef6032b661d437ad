import type { Context } from '../context.ts'
import { changeJobs, type ChoiceOptions } from './job-choice.ts'

/** `earshot jobs retry`: tries jobs again that failed, were cancelled or rest after a failure. */
export const run = (context: Context, args: string[], options: ChoiceOptions): Promise<number> =>
  changeJobs(context, 'retry', args, options)
