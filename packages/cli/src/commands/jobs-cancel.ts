import type { Context } from '../context.ts'
import { changeJobs, type ChoiceOptions } from './job-choice.ts'

/** `earshot jobs cancel`: cancels jobs by their numbers or by what they have in common. */
export const run = (context: Context, args: string[], options: ChoiceOptions): Promise<number> =>
  changeJobs(context, 'cancel', args, options)
