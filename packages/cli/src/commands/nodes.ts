import type { NodeView } from '@earshot/contract'
import type { Context } from '../context.ts'
import type { Output } from '../output.ts'
import { ago, safe, table } from '../wording.ts'

/** `earshot nodes`: the nodes of the mesh, what they offer and when they were last heard. */
export async function run({ client, output, interrupts }: Context): Promise<void> {
  const signal = interrupts.first
  printNodes(output, await client.nodes({ signal }))
  if (!output.json && (await client.health({ signal })).redis === 'away') {
    output.note(
      'Redis is away: wake-ups go by notification and with the heartbeat, at most 2 s late. earshot doctor tells why.',
    )
  }
}

/** Prints nodes as a table, or as `{"nodes":[…]}`. */
export function printNodes(output: Output, nodes: NodeView[]): void {
  if (output.json) return output.printJson({ nodes })
  if (nodes.length === 0) return output.note('No node has joined yet. On a box: earshot worker')
  const now = Date.now()
  const rows = nodes.map((node) => [
    safe(node.id),
    paintStatus(output, node),
    safe(node.host ?? ''),
    node.roles.join(', '),
    hardware(node),
    String(node.open_jobs),
    ago(node.last_seen, now),
    safe(remark(node)),
  ])
  for (const line of table(
    ['NODE', 'STATUS', 'HOST', 'ROLES', 'HARDWARE', 'JOBS', 'HEARD', ''],
    rows,
  ))
    output.print(line)
}

/** Why it gets no work, or none of a role, or does not offer what it has. */
function remark({ reason, quarantines, capabilities }: NodeView): string {
  const roles = quarantines
    .filter(({ role }) => role !== '*')
    .map((one) => `${one.role} in quarantine: ${one.reason}`)
  const withheld = Object.entries((capabilities.not_offered ?? {}) as Record<string, string>).map(
    ([name, why]) => `${name} is not offered: ${why}`,
  )
  return [...(reason === null ? [] : [reason]), ...roles, ...withheld].join(' ')
}

function hardware({ tags }: NodeView): string {
  const { platform, cores, memory_gb: memory, gpu, vram_gb: vram } = tags
  return [
    platform,
    cores && `${cores} cores`,
    memory && `${memory} GB`,
    gpu && `${gpu}${vram ? ` ${vram} GB` : ''}`,
  ]
    .filter(Boolean)
    .map((part) => safe(String(part)))
    .join(', ')
}

function paintStatus(output: Output, { status, drained, quarantines }: NodeView): string {
  if (status === 'online' && quarantines.some(({ role }) => role === '*'))
    return output.red('quarantined')
  if (status === 'online' && drained) return output.yellow('drained')
  return status === 'online'
    ? output.green(status)
    : status === 'degraded'
      ? output.yellow(status)
      : output.dim(status)
}
