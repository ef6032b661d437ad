// The text format that Prometheus reads
// (https://prometheus.io/docs/instrumenting/exposition_formats/), as far as it is needed here.
// Written out, since what is counted comes summed up from the database, which the usual library
// (prom-client, being replaced by another one) cannot take in.

export type Labels = Record<string, string>
export type Metric = {
  name: string
  help: string
  type: 'counter' | 'gauge' | 'histogram'
  samples: Sample[]
}
/** `suffix`: what a histogram's samples carry after the name. */
export type Sample = { labels?: Labels; value: number; suffix?: '_bucket' | '_sum' | '_count' }

/** A metric's text lines, its help first. */
export function expose({ name, help, type, samples }: Metric): string {
  const lines = samples.map(({ labels = {}, value, suffix = '' }) => {
    const pairs = Object.entries(labels)
      .map(([label, text]) => `${label}="${escaped(text)}"`)
      .join(',')
    return `${name}${suffix}${pairs === '' ? '' : `{${pairs}}`} ${value}\n`
  })
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`
}

const escaped = (text: string): string =>
  text.replace(/[\\"\n]/g, (sign) => (sign === '\n' ? '\\n' : `\\${sign}`))

/** Label sets of one metric at most; what comes later is counted together, under `other`. */
const MOST_SERIES = 1_000

/** Finds or makes what belongs to a set of labels. */
function createSeries<Value>(fresh: () => Value) {
  const series = new Map<string, { labels: Labels; value: Value }>()
  return {
    of(labels: Labels): { labels: Labels; value: Value } {
      const kept =
        series.size < MOST_SERIES || series.has(JSON.stringify(labels))
          ? labels
          : Object.fromEntries(Object.keys(labels).map((label) => [label, 'other']))
      const key = JSON.stringify(kept)
      const found = series.get(key) ?? { labels: kept, value: fresh() }
      series.set(key, found)
      return found
    },
    all: () => [...series.values()],
  }
}

export type Counter = { add(labels?: Labels, count?: number): void; read(): Metric }

/** A number that only grows, one for each set of labels. */
export function createCounter(name: string, help: string): Counter {
  const series = createSeries(() => 0)
  return {
    add(labels = {}, count = 1) {
      series.of(labels).value += count
    },
    read: () => ({ name, help, type: 'counter', samples: series.all() }),
  }
}

export type Histogram = {
  /**
   * Adds `count` observations to a bucket: its place among the bounds, their number for what is
   * above all. `sum`: of their values.
   */
  add(labels: Labels, bucket: number, count: number, sum: number): void
  read(): Metric
}

/** Counts of observations by size, one for each set of labels. */
export function createHistogram(name: string, help: string, bounds: readonly number[]): Histogram {
  const series = createSeries(() => ({ buckets: Array<number>(bounds.length + 1).fill(0), sum: 0 }))
  return {
    add(labels, bucket, count, sum) {
      const { value } = series.of(labels)
      value.buckets[bucket] = (value.buckets[bucket] ?? 0) + count
      value.sum += sum
    },
    read: () => ({
      name,
      help,
      type: 'histogram',
      samples: series.all().flatMap(({ labels, value }) => samplesOf(labels, value, bounds)),
    }),
  }
}

function samplesOf(
  labels: Labels,
  { buckets, sum }: { buckets: number[]; sum: number },
  bounds: readonly number[],
): Sample[] {
  let total = 0
  const cumulated = buckets.map((count, at): Sample => ({
    labels: { ...labels, le: at < bounds.length ? String(bounds[at]) : '+Inf' },
    value: (total += count),
    suffix: '_bucket',
  }))
  return [
    ...cumulated,
    { labels, value: sum, suffix: '_sum' },
    { labels, value: total, suffix: '_count' },
  ]
}

/** A gauge of the moment. */
export function gauge(name: string, help: string, samples: Sample[]): Metric {
  return { name, help, type: 'gauge', samples }
}
