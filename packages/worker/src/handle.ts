import {
  EarshotError,
  type Kind,
  type KindDefinition,
  KINDS,
  type Output,
  parse,
} from '@earshot/contract'
import type { z } from 'zod'
import type { JobContext } from './job-context.ts'
import type { Handler } from './execute-job.ts'
import { isDiskFull } from './verdict.ts'

export type { JobContext as KindContext } from './job-context.ts'

/** Runs a built-in kind: input to output. */
export type BuiltIn<K extends Kind> = (
  payload: z.output<(typeof KINDS)[K]['payload']>,
  context: JobContext,
) => Promise<Output<K>>

/** A kind of the users' own with what runs it; made by {@link handle}. */
export type HandledKind = { definition: KindDefinition; handler: Handler }

/**
 * Says how a kind of your own is run.
 *
 * The handler gets the payload as its schema reads it, and gives back what the result's schema
 * takes; both are checked. It may run more than once for one job (after a crash, say), but one
 * result is stored. What it throws is charged to the job, which is tried again up to its tries,
 * unless it is an EarshotError that says otherwise: EARSHOT_BAD_REQUEST ends the job at once,
 * EARSHOT_UNREACHABLE puts it off and charges no one, EARSHOT_ENGINE_MISSING charges this node and
 * tries another one.
 *
 * @example
 * handle(thumbnail, async ({ image, width }, { signal, dir, progress }) => ({ bytes: await shrink(image, width, signal) }))
 */
export function handle<D extends KindDefinition>(
  definition: D,
  run: (
    payload: z.output<D['payload']>,
    context: JobContext,
  ) => z.input<D['result']> | Promise<z.input<D['result']>>,
): HandledKind {
  const { kind, payload, result } = definition
  const guarded = async (given: unknown, context: JobContext): Promise<unknown> => {
    try {
      return asJson(await run(given as z.output<D['payload']>, context))
    } catch (err) {
      if (err instanceof EarshotError || isDiskFull(err) || context.signal.aborted) throw err
      const message = err instanceof Error ? err.message : String(err)
      throw new EarshotError(
        'EARSHOT_HANDLER_FAILED',
        `The handler of kind "${kind}" failed: ${message}`,
        { cause: err },
      )
    }
  }
  return { definition, handler: checked({ payload, output: result }, guarded) }
}

/** Runs a built-in kind by its own schemas. */
export function builtIn<K extends Kind>(kind: K, run: BuiltIn<K>): Handler {
  return checked(KINDS[kind], run as (payload: unknown, context: JobContext) => Promise<unknown>)
}

/**
 * Checks what a handler gets and what it gives back: a payload may come from another version of the
 * program, or from SQL, which looks at required fields only. What is stored is what the handler
 * gave: anyone who waits for it reads it by the schema.
 */
function checked(
  schemas: { payload: z.ZodType; output: z.ZodType },
  run: (payload: unknown, context: JobContext) => Promise<unknown>,
): Handler {
  return async (context) => {
    const output = await run(parse(schemas.payload, context.job.payload, 'payload'), context)
    parse(schemas.output, output, 'result', 'EARSHOT_RESULT_REFUSED')
    return output
  }
}

/**
 * Where a schema takes anything, a circle or a bigint would only be found when the result is sent.
 */
function asJson(result: unknown): unknown {
  try {
    JSON.stringify(result)
    return result
  } catch (cause) {
    throw new EarshotError(
      'EARSHOT_RESULT_REFUSED',
      `The result cannot be written as JSON: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    )
  }
}
