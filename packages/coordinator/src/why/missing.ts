import type { Requires } from '@earshot/contract'
import { LANGUAGES_TAG, languagesIn, languagesText } from '@earshot/shared/languages'
import { malformed, unmet } from '@earshot/shared/lanes'
import type { NodeFacts } from './facts.ts'

/**
 * What no known node offers, so that the job can never run: each need that no one meets, or, when
 * every need is met by someone but by no node all of them, what the nearest one lacks. Empty when
 * some node can run it.
 */
export function missing(
  nodes: readonly NodeFacts[],
  { role, requires }: { role: string; requires: Requires },
): string[] {
  const faults = malformed(requires)
  if (faults.length > 0) return [`needs that can be read: ${faults.join(', ')}`]
  const lacks = nodes.map((node) => ({ node, lacking: unmet(node, { role, requires }) }))
  if (lacks.some(({ lacking }) => lacking.length === 0)) return []
  if (nodes.length === 0) return [`a node with role ${role}`]
  if (!nodes.some((node) => node.roles.includes(role))) return [`a node with role ${role}`]
  const unheard = Object.entries(requires).filter(([tag, wanted]) =>
    nodes.every(
      (node) => unmet({ ...node, roles: [role] }, { role, requires: { [tag]: wanted } }).length > 0,
    ),
  )
  if (unheard.length > 0)
    return unheard.map(([tag, wanted]) => {
      const [language] = tag === LANGUAGES_TAG ? languagesIn(wanted) : []
      if (language !== undefined)
        return `a node that hears ${language} (there are: ${languagesText(heardBy(nodes)) || 'none'})`
      return tag === 'node' ? `node ${wish(wanted)}` : `a node with tag ${tag} ${wish(wanted)}`
    })
  const [nearest] = lacks.toSorted((a, b) => a.lacking.length - b.lacking.length)
  return [
    `all of it on one node; the nearest is ${nearest!.node.id}: ${nearest!.lacking.join(', ')}`,
  ]
}

const heardBy = (nodes: readonly NodeFacts[]): string[] =>
  [...new Set(nodes.flatMap(({ tags }) => languagesIn(tags[LANGUAGES_TAG])))].sort()

function wish(wanted: Requires[string]): string {
  if (wanted === true) return 'set'
  if (wanted === false) return 'not set'
  if (typeof wanted === 'object' && 'not' in wanted) return `other than ${wanted.not}`
  return typeof wanted === 'object'
    ? Object.entries(wanted)
        .map(([operator, bound]) => `${operator} ${bound}`)
        .join(' and ')
    : String(wanted)
}
