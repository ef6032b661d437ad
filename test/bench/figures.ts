/** What every part of the benchmark is given. */
export type Bench = {
  /** Few and short measurements, to see that all works. */
  quick: boolean
  /** How much speech is heard. */
  minutes: number
  database: 'embedded' | 'postgres'
  /** A folder of this part's own. */
  folder: string
  say(line: string): void
}

/** One line of the result; p50 and max over n measurements, in `unit`. */
export type Figure = {
  what: string
  database: string
  n: number
  p50: number
  max: number
  unit: 'ms' | 's' | '×'
  goal?: string
}

/** Sums measurements up: the middle one and the worst one. */
export function figure(
  what: string,
  database: string,
  values: readonly number[],
  unit: Figure['unit'],
  goal?: string,
): Figure {
  const sorted = [...values].sort((a, b) => a - b)
  const round = (value = Number.NaN) =>
    unit === 'ms' ? Math.round(value) : Math.round(value * 100) / 100
  return {
    what,
    database,
    n: sorted.length,
    p50: round(sorted[Math.floor((sorted.length - 1) / 2)]),
    max: round(sorted.at(-1)),
    unit,
    ...(goal === undefined ? {} : { goal }),
  }
}

/** Prints the figures for people. */
export function printTable(figures: readonly Figure[], machine: Record<string, unknown>): void {
  const rows = [
    ['WHAT', 'DATABASE', 'N', 'P50', 'MAX', 'GOAL'],
    ...figures.map((one) => [
      one.what,
      one.database,
      String(one.n),
      `${one.p50} ${one.unit}`,
      `${one.max} ${one.unit}`,
      one.goal ?? '',
    ]),
  ]
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  for (const row of rows)
    console.log(
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
  console.log(
    Object.entries(machine)
      .map(([name, value]) => `${name} ${String(value)}`)
      .join(', '),
  )
}
