import type { KindView } from '@earshot/contract'
import type { Context } from '../context.ts'
import { safe, table } from '../wording.ts'

/** `earshot kinds`: every kind of job that the mesh knows. */
export async function run({ client, output, interrupts }: Context): Promise<void> {
  const kinds = await client.kinds({ signal: interrupts.first })
  if (output.json) return output.printJson({ kinds })
  const rows = kinds.map((kind) => [
    kind.kind,
    kind.role,
    kind.class,
    String(kind.priority),
    kind.built_in ? 'built-in' : 'custom',
    safe(fields(kind)),
  ])
  for (const line of table(['KIND', 'ROLE', 'CLASS', 'PRIORITY', '', 'PAYLOAD'], rows))
    output.print(line)
}

/** The fields of its payload; those that may be left out in brackets. */
function fields({ payload_schema: schema }: KindView): string {
  const { properties = {}, required = [] } = (schema ?? {}) as {
    properties?: Record<string, unknown>
    required?: string[]
  }
  return Object.keys(properties)
    .map((name) => (required.includes(name) ? name : `[${name}]`))
    .join(' ')
}
