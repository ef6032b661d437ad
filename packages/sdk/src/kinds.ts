import {
  isKind,
  type JobView,
  type KindDefinition,
  type KindRef,
  KINDS,
  parse,
  strict,
} from '@earshot/contract'

/**
 * The definitions that this program has used so far, by name: a job may be enqueued by one client
 * and waited for by another.
 */
const used = new Map<string, KindDefinition>()

function schemasOf(kind: KindRef) {
  if (typeof kind === 'string') return isKind(kind) ? KINDS[kind] : undefined
  used.set(kind.kind, kind)
  return kind
}

/**
 * What is sent for a job. What travels is what was given: the receiver reads it.
 *
 * @throws EARSHOT_BAD_REQUEST with the `field` of the payload that is wrong
 */
export function requestOf(
  kind: KindRef,
  payload: unknown,
  prefix = '',
): { kind: string; payload: unknown } {
  const schemas = schemasOf(kind)
  // A name that is none of Earshot's own is for the mesh to judge.
  if (schemas !== undefined) parse(strict(schemas.payload), payload, `${prefix}payload`)
  return { kind: typeof kind === 'string' ? kind : kind.kind, payload }
}

/**
 * A job with its result read by its kind's definition, where this program has one.
 *
 * @throws EARSHOT_RESULT_REFUSED when it does not fit
 */
export function readJob<K extends KindRef>(job: JobView, kind: K | undefined): JobView<K> {
  if (kind !== undefined) schemasOf(kind)
  const definition = used.get(job.kind)
  if (definition === undefined || job.status !== 'completed') return job as JobView<K>
  return {
    ...job,
    result: parse(
      definition.result,
      job.result,
      `result of job ${job.id}`,
      'EARSHOT_RESULT_REFUSED',
    ),
  } as JobView<K>
}
