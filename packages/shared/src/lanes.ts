import type { Requires } from '@earshot/contract'
import { LANGUAGES_TAG, languagesIn, languagesText } from './languages.ts'

/** What a node offers, as far as routing cares. */
export type Offer = { id?: string; roles: string[]; tags: Record<string, unknown> }

/** What a lane needs. */
export type Needs = { role: string; requires: Requires }

/**
 * Whether a node meets a lane's needs; stops at the first that it does not meet. Malformed needs or
 * tags are never met: one row in the database must not stop the routing of all others.
 *
 * @example
 * meets({ roles: ['tts'], tags: { gpu: 'nvidia-3060', vram_gb: 12 } }, { role: 'tts', requires: { gpu: 'nvidia-*', vram_gb: { '>=': 8 } } }) // true
 */
export function meets(node: Offer, { role, requires }: Needs): boolean {
  if (!node.roles.includes(role) || !isRecord(requires)) return false
  for (const tag of Object.keys(requires))
    if (compare(tag, offered(node, tag), requires[tag]!) !== null) return false
  return true
}

/**
 * What a node lacks for a lane, a short phrase each: `role stt_batch missing`, `tag vram_gb 8 <
 * 12`. Empty when it can run it.
 */
export function unmet(node: Offer, { role, requires }: Needs): string[] {
  const lacking = node.roles.includes(role) ? [] : [`role ${role} missing`]
  if (!isRecord(requires)) return [...lacking, ...malformed(requires)]
  for (const [tag, wanted] of Object.entries(requires)) {
    const problem = compare(tag, offered(node, tag), wanted)
    if (problem !== null) lacking.push(problem)
  }
  return lacking
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function offered(node: Offer, tag: string): unknown {
  if (tag === 'node' && node.id !== undefined) return node.id
  return isRecord(node.tags) && Object.hasOwn(node.tags, tag) ? node.tags[tag] : undefined
}

const HOLDS = new Map<string, (has: number, wanted: number) => boolean>([
  ['>=', (has, wanted) => has >= wanted],
  ['>', (has, wanted) => has > wanted],
  ['<=', (has, wanted) => has <= wanted],
  ['<', (has, wanted) => has < wanted],
])
const OPPOSITE: Record<string, string> = { '>=': '<', '>': '≤', '<=': '>', '<': '≥' }

/**
 * What of the needs in a row cannot be read, a phrase each; empty when they are right, as Requires
 * of the contract says it.
 */
export function malformed(requires: unknown): string[] {
  if (!isRecord(requires)) return ['requires is malformed']
  return Object.entries(requires)
    .filter(([, wanted]) => isMalformed(wanted))
    .map(([tag]) => `requires.${tag} is malformed`)
}

function isMalformed(wanted: unknown): boolean {
  if (['string', 'number', 'boolean'].includes(typeof wanted)) return false
  if (!isRecord(wanted)) return true
  const entries = Object.entries(wanted)
  if ('not' in wanted)
    return entries.length > 1 || !['string', 'number'].includes(typeof wanted['not'])
  return (
    entries.length === 0 ||
    entries.some(([operator, bound]) => !HOLDS.has(operator) || typeof bound !== 'number')
  )
}

/**
 * null when the tag is as wanted, otherwise how it is not. `wanted` comes from a row: it may be
 * malformed.
 */
function compare(tag: string, has: unknown, wanted: Requires[string]): string | null {
  if (typeof wanted === 'object' && isMalformed(wanted)) return `requires.${tag} is malformed`
  // Presence: any value but false, for tags such as {"gpu": "nvidia-3060"} and {"gpu": true} alike.
  if (wanted === true) return has === undefined || has === false ? `tag ${tag} missing` : null
  if (wanted === false)
    return has === undefined || has === false ? null : `tag ${tag} is ${text(has)}`
  if (typeof wanted === 'object' && 'not' in wanted)
    return isSame(has, wanted.not) ? `tag ${tag} is ${text(has)}` : null
  if (has === undefined) return `tag ${tag} missing`
  if (typeof wanted === 'object') {
    for (const [operator, bound] of Object.entries(wanted)) {
      if (typeof has !== 'number') return `tag ${tag} ${text(has)} is no number`
      if (!HOLDS.get(operator)!(has, bound))
        return `tag ${tag} ${has} ${OPPOSITE[operator]} ${bound}`
    }
    return null
  }
  if (isSame(has, wanted)) return null
  if (tag === LANGUAGES_TAG && languagesIn(wanted).length > 0)
    return `hears ${languagesText(languagesIn(has))}, not ${languagesIn(wanted).join(', ')}`
  return `tag ${tag} is ${text(has)}, not ${String(wanted)}`
}

/** A tag's value for people. `String` throws on some objects. */
const text = (value: unknown): string =>
  typeof value === 'object' ? JSON.stringify(value) : String(value)

const isSame = (has: unknown, wanted: string | number): boolean =>
  typeof wanted === 'string' && typeof has === 'string' ? matches(has, wanted) : has === wanted

/**
 * `*` stands for any run of characters; all else stands for itself. Linear in both lengths, so no
 * pattern is slow.
 */
export function matches(text: string, pattern: string): boolean {
  const parts = pattern.split('*')
  if (parts.length === 1) return text === pattern
  const first = parts[0]!
  const last = parts.at(-1)!
  if (!text.startsWith(first) || !text.endsWith(last) || text.length < first.length + last.length)
    return false
  let at = first.length
  for (const part of parts.slice(1, -1)) {
    const found = text.indexOf(part, at)
    if (found < 0) return false
    at = found + part.length
  }
  return at <= text.length - last.length
}

/**
 * What a lane needs of a node's tags, for people; empty when it needs nothing.
 *
 * @example
 * needsText({ gpu: 'nvidia-*', vram_gb: { '>=': 8 }, quiet: true }) // 'gpu=nvidia-*, vram_gb>=8, quiet'
 */
export function needsText(requires: Requires): string {
  const one = ([tag, wanted]: [string, Requires[string]]): string => {
    if (wanted === true) return tag
    if (wanted === false) return `no ${tag}`
    if (tag === LANGUAGES_TAG && languagesIn(wanted).length > 0)
      return `hears ${languagesIn(wanted).join(', ')}`
    if (typeof wanted === 'object' && 'not' in wanted) return `${tag} not ${wanted.not}`
    return typeof wanted === 'object'
      ? Object.entries(wanted)
          .map(([operator, bound]) => `${tag}${operator}${bound}`)
          .join(', ')
      : `${tag}=${wanted}`
  }
  if (malformed(requires).length > 0) return malformed(requires).join(', ')
  return Object.entries(requires).map(one).join(', ')
}

/** A lane in one short text: `stt_batch`, or `stt_batch gpu=nvidia-*`. */
export const laneText = ({ role, requires }: Needs): string =>
  `${role} ${needsText(requires)}`.trim()
