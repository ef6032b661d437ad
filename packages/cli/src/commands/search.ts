import type { Hit } from '@earshot/contract'
import type { Context } from '../context.ts'
import type { Output } from '../output.ts'
import { clock, safe, table } from '../wording.ts'

/** `earshot search QUERY`: prints file, place and text of every hit, best first. */
export async function run(
  { client, output, interrupts }: Context,
  words: string[],
  { limit }: { limit?: number },
): Promise<void> {
  const query = words.join(' ')
  const answer = await client.search(query, { limit, signal: interrupts.first })
  if (output.json) return output.printJson(answer)
  if (answer.note !== undefined) output.note(answer.note)
  if (answer.hits.length === 0)
    return output.note(`Nothing that was heard or read matches “${query}”.`)
  const rows = answer.hits.map((hit) => [
    safe(hit.title),
    hit.start_s === null ? '' : clock(hit.start_s),
    extract(hit, query, output),
  ])
  for (const line of table(['FILE', 'AT', 'TEXT'], rows)) output.print(line)
}

const EXTRACT_LENGTH = 160

/** The part of a hit around its first matching word, matches emphasised. */
function extract(hit: Hit, query: string, output: Output): string {
  const text = safe(hit.text)
  const matches = matchesOf(text, query)
  const first = matches[0]?.start ?? 0
  const start =
    text.length <= EXTRACT_LENGTH
      ? 0
      : wordStart(text, Math.max(0, Math.min(first - 40, text.length - EXTRACT_LENGTH)))
  const end = Math.min(text.length, start + EXTRACT_LENGTH)
  let shown = start > 0 ? '…' : ''
  let at = start
  for (const match of matches.filter(
    (candidate) => candidate.start >= start && candidate.end <= end,
  )) {
    shown += text.slice(at, match.start) + output.bold(text.slice(match.start, match.end))
    at = match.end
  }
  return shown + text.slice(at, end) + (end < text.length ? '…' : '')
}

function wordStart(text: string, near: number): number {
  const space = text.indexOf(' ', near)
  return near === 0 || space === -1 ? near : space + 1
}

/**
 * Words of the text that start as a word of the query does: the index stems, so `light` also finds
 * `lights`.
 */
function matchesOf(text: string, query: string): { start: number; end: number }[] {
  const wanted = [...query.toLowerCase().matchAll(/[\p{L}\p{N}]+/gu)].map(([word]) => word)
  return [...text.matchAll(/[\p{L}\p{N}]+/gu)].flatMap((found) => {
    const word = found[0].toLowerCase()
    const hit = wanted.some(
      (wish) =>
        word === wish ||
        (wish.length >= 4 && word.startsWith(wish.slice(0, Math.max(4, wish.length - 3)))),
    )
    return hit ? [{ start: found.index, end: found.index + found[0].length }] : []
  })
}
