import type { Line } from './result.ts'
import { short } from './result.ts'

const WIDTH = 1060
const LEFT = 590
const RIGHT = 110
const ROW = 30
const TOP = 50
/** Times better or worse than the target that still fit. */
const REACH = 4

const escape = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

/**
 * How far each row is from its target, on a logarithmic scale: right of the line in the middle it
 * is met. The thin line is the spread of the rounds.
 */
export function plot(lines: readonly Line[]): string {
  const middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
  const half = (WIDTH - LEFT - RIGHT) / 2
  const height = TOP + lines.length * ROW + 20
  const better = ({ target: { sign, than } }: Line, value: number) =>
    sign === '≥' || sign === '=' ? value / than : than / value
  const x = (times: number) =>
    middle + half * Math.max(-1, Math.min(1, Math.log(times) / Math.log(REACH)))
  const marks = [1 / 4, 1 / 2, 1, 2, 4].map(
    (times) => `
    <line x1="${x(times)}" x2="${x(times)}" y1="${TOP - 12}" y2="${height - 20}" stroke="${times === 1 ? '#333' : '#ccc'}"/>
    <text x="${x(times)}" y="${TOP - 18}" text-anchor="middle" fill="#555">${times === 1 ? 'target' : times < 1 ? `1/${1 / times}` : `${times} ×`}</text>`,
  )
  const rows = lines.map((line, place) => {
    const y = TOP + place * ROW + ROW / 2
    const at = x(better(line, line.ratio))
    const [from, to] = line.spread.map((value) => x(better(line, value)))
    return `
    <text x="${LEFT - 10}" y="${y + 4}" text-anchor="end">${escape(line.measure)}<tspan fill="#777"> / ${escape(line.against)}</tspan></text>
    <rect x="${Math.min(middle, at)}" y="${y - 8}" width="${Math.abs(at - middle)}" height="16" fill="${line.met ? '#3a7d44' : '#c1543c'}"/>
    <line x1="${from}" x2="${to}" y1="${y}" y2="${y}" stroke="#222"/>
    <text x="${WIDTH - RIGHT + 10}" y="${y + 4}">${short(line.ratio)} (${escape(line.target.sign)} ${line.target.than}) ${escape(line.target.unit)}</text>`
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="11">
    <rect width="${WIDTH}" height="${height}" fill="#fff"/>
    <text x="10" y="20" font-size="14">Earshot beside others: how far from the target</text>${marks.join('')}${rows.join('')}
</svg>
`
}
