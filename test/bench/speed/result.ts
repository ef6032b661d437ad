import os from 'node:os'

/**
 * One row of the result: ours against a peer's, or against our own under better conditions; several
 * rounds, the two in turn.
 */
export type Line = {
  measure: string
  against: string
  unit: string
  /** Medians over the rounds. */
  ours: number
  peer?: number
  /**
   * The median of the rounds' own ratios, and the least and greatest of them. Without a peer: of
   * the figure itself.
   */
  ratio: number
  spread: [least: number, greatest: number]
  target: { sign: '≥' | '≤' | '<' | '='; than: number; unit: '×' | '%' | '/s' }
  met: boolean
  rounds: number
  /** Load average of the machine when it was measured. */
  load: number
  note?: string
}

export const median = (values: readonly number[]): number => percentile(values, 0.5)

/** The value below which this part of all lies. */
export function percentile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN
}

type Compared = {
  measure: string
  against: string
  unit: string
  target: Line['target']
  ours: readonly number[]
  peer: readonly number[]
  note?: string
}

/** Sums rounds up in which ours and the peer's were measured in turn. */
export function compare({ ours, peer, ...about }: Compared): Line {
  const ratios = ours.map((value, round) => value / peer[round]!)
  return { ...about, ours: median(ours), peer: median(peer), ...judge(ratios, about.target) }
}

/** Sums up figures that stand for themselves. */
export function alone({ ours, ...about }: Omit<Compared, 'peer'>): Line {
  return { ...about, ours: median(ours), ...judge(ours, about.target) }
}

function judge(
  values: readonly number[],
  { sign, than }: Line['target'],
): Pick<Line, 'ratio' | 'spread' | 'met' | 'rounds' | 'load'> {
  const ratio = median(values)
  const met =
    sign === '='
      ? ratio === than
      : sign === '≥'
        ? ratio >= than
        : sign === '≤'
          ? ratio <= than
          : ratio < than
  return {
    ratio,
    spread: [Math.min(...values), Math.max(...values)],
    met,
    rounds: values.length,
    load: Math.round(os.loadavg()[0]! * 10) / 10,
  }
}

/** Three figures that count. */
export const short = (value: number): string =>
  Number.isNaN(value)
    ? '?'
    : Math.abs(value) >= 1000
      ? Math.round(value).toLocaleString('en')
      : String(Number(value.toPrecision(3)))

/** The columns of a row, as people read them. */
export function cells(line: Line): string[] {
  const { target } = line
  return [
    line.measure,
    line.against,
    `${short(line.ours)} ${line.unit}`,
    line.peer === undefined ? '' : `${short(line.peer)} ${line.unit}`,
    `${short(line.ratio)} ${target.unit}`,
    `${short(line.spread[0])}–${short(line.spread[1])}`,
    `${target.sign} ${target.than} ${target.unit}`,
    line.met ? 'yes' : 'no',
    String(line.load),
  ]
}
export const HEADS = [
  'measure',
  'against',
  'Earshot',
  'the other',
  'ratio',
  'spread',
  'target',
  'met',
  'load',
]

export function printTable(lines: readonly Line[], machine: string): void {
  const rows = [HEADS.map((head) => head.toUpperCase()), ...lines.map(cells)]
  const widths = HEADS.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  for (const row of rows)
    console.log(
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
  for (const { measure, note } of lines) if (note !== undefined) console.log(`${measure}: ${note}`)
  console.log(machine)
}
