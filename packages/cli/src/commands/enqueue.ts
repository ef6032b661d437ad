import { EarshotError, type Kind } from '@earshot/contract'
import type { Context } from '../context.ts'
import { unfinished } from './unfinished.ts'

/**
 * `earshot enqueue KIND [PAYLOAD]`: hands a job of any kind to the mesh; with `--wait` prints its
 * result.
 */
export async function run(
  { client, output, interrupts }: Context,
  [kind = '', text = '{}']: string[],
  { wait = false }: { wait?: boolean },
): Promise<void> {
  const signal = interrupts.first
  // Any name may be typed here; the mesh knows which there are, and what their payloads are.
  const job = await client.enqueue(kind as Kind, payloadOf(text) as never, { signal })
  if (!wait)
    return output.json
      ? output.printJson(job)
      : output.print(`Job ${job.id} is enqueued. Look at it with: npx earshot job ${job.id}`)
  const done = await client.wait(job, { signal })
  if (done.status !== 'completed') throw unfinished(done)
  output.printJson(output.json ? done : done.result)
}

function payloadOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch (cause) {
    throw new EarshotError(
      'EARSHOT_BAD_REQUEST',
      `The payload is no JSON: ${(cause as Error).message}.`,
      {
        field: 'payload',
        hint: 'In a shell, quote it: earshot enqueue speak \'{"text": "Dinner is ready."}\'',
        cause,
      },
    )
  }
}
