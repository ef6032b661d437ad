import type { Requires } from '@earshot/contract'
import { LANGUAGES_TAG, languagesIn, languagesText } from './languages.ts'

/** What a node offers, as far as routing cares. */
export type Offer = { id?: string; roles: string[]; tags: Record<string, unknown> }

/** What a lane needs. */
export type Needs = { role: string; requires: Requires }

/**
 * Whether a node meets a lane's needs.
 *
 * @example
 * meets({ roles: ['tts'], tags: { gpu: 'nvidia-3060', vram_gb: 12 } }, { role: 'tts', requires: { gpu: 'nvidia-*', vram_gb: { '>=': 8 } } }) // true
 */
export function meets(node: Offer, needs: Needs): boolean {
  return unmet(node, needs).length === 0
}

/**
 * What a node lacks for a lane, a short phrase each: `role stt_batch missing`, `tag vram_gb 8 < 12`. Empty when it can run it.
 */
export function unmet(node: Offer, { role, requires }: Needs): string[] {
  const lacking = node.roles.includes(role) ? [] : [`role ${role} missing`]
  for (const [tag, wanted] of Object.entries(requires)) {
    const has = tag === 'node' && node.id !== undefined ? node.id : node.tags[tag]
    const problem = compare(tag, has, wanted)
    if (problem !== null) lacking.push(problem)
  }
  return lacking
}

const HOLDS: Record<string, (has: number, wanted: number) => boolean> = {
  '>=': (has, wanted) => has >= wanted,
  '>': (has, wanted) => has > wanted,
  '<=': (has, wanted) => has <= wanted,
  '<': (has, wanted) => has < wanted,
}
const OPPOSITE: Record<string, string> = { '>=': '<', '>': '≤', '<=': '>', '<': '≥' }

/** null when the tag is as wanted, otherwise how it is not. */
function compare(tag: string, has: unknown, wanted: Requires[string]): string | null {
  // Presence: any value but false, for tags such as {"gpu": "nvidia-3060"} and {"gpu": true} alike.
  if (wanted === true) return has === undefined || has === false ? `tag ${tag} missing` : null
  if (wanted === false)
    return has === undefined || has === false ? null : `tag ${tag} is ${String(has)}`
  if (typeof wanted === 'object' && 'not' in wanted)
    return isSame(has, wanted.not) ? `tag ${tag} is ${String(has)}` : null
  if (has === undefined) return `tag ${tag} missing`
  if (typeof wanted === 'object') {
    for (const [operator, bound] of Object.entries(wanted)) {
      if (typeof has !== 'number') return `tag ${tag} ${String(has)} is no number`
      if (!HOLDS[operator]!(has, bound)) return `tag ${tag} ${has} ${OPPOSITE[operator]} ${bound}`
    }
    return null
  }
  if (isSame(has, wanted)) return null
  if (tag === LANGUAGES_TAG && languagesIn(wanted).length > 0)
    return `hears ${languagesText(languagesIn(has))}, not ${languagesIn(wanted).join(', ')}`
  return `tag ${tag} is ${String(has)}, not ${String(wanted)}`
}

const isSame = (has: unknown, wanted: string | number): boolean =>
  typeof wanted === 'string' && typeof has === 'string' ? matches(has, wanted) : has === wanted

/** `*` stands for any run of characters; all else stands for itself. Linear in both lengths, so no pattern is slow. */
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
  return Object.entries(requires).map(one).join(', ')
}

/** A lane in one short text: `stt_batch`, or `stt_batch gpu=nvidia-*`. */
export const laneText = ({ role, requires }: Needs): string =>
  `${role} ${needsText(requires)}`.trim()
