import { isKind, type JobView, type KindDefinition, type KindRef, KINDS, parse, strict } from '@earshot/shared/contract'

export type KnownKinds = {
  /** What is sent for a job. @throws EARSHOT_BAD_REQUEST with the `field` of the payload that is wrong. */
  request(kind: KindRef, payload: unknown, prefix?: string): { kind: string; payload: unknown }
  /** A job with its result read by its kind's definition, where there is one. @throws EARSHOT_RESULT_REFUSED when it does not fit. */
  read<K extends KindRef>(job: JobView, kind: K | undefined): JobView<K>
}

/** Checks what is sent and reads what comes back, by built-in schemas and by the definitions that this client was handed so far. */
export function createKnownKinds(): KnownKinds {
  const definitions = new Map<string, KindDefinition>()
  const schemasOf = (kind: KindRef | undefined) => {
    if (typeof kind === 'object') definitions.set(kind.kind, kind)
    return typeof kind === 'string' ? (isKind(kind) ? KINDS[kind] : undefined) : kind
  }
  return {
    request(kind, payload, prefix = '') {
      const schemas = schemasOf(kind)
      // A name that is none of Earshot's own is for the mesh to judge. What travels is what was given: the receiver reads it.
      if (schemas !== undefined) parse(strict(schemas.payload), payload, `${prefix}payload`)
      return { kind: typeof kind === 'string' ? kind : kind.kind, payload }
    },
    read<K extends KindRef>(job: JobView, kind: K | undefined) {
      schemasOf(kind)
      const definition = definitions.get(job.kind)
      if (definition === undefined || job.status !== 'completed') return job as JobView<K>
      return { ...job, result: parse(definition.result, job.result, `result of job ${job.id}`, 'EARSHOT_RESULT_REFUSED') } as JobView<K>
    },
  }
}
