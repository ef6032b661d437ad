import type { Database, Listener } from '@earshot/db/database'
import { needsText } from '@earshot/shared/lanes'
import { monotonicMs } from '@earshot/db/monotonic'
import type { Position } from '../queries/events.ts'
import { createCounter, createHistogram, expose, gauge, type Metric } from './exposition.ts'
import { BOUNDS, type Gauges, type Page, readGauges, readMetrics } from './read.ts'

/** A scrape reads so many pages of events at most; what is left is read at the next. */
const PAGES = 20

/** What the coordinator tells of itself. */
export type Self = {
  term: () => string | null
  listener: () => Listener | undefined
  redis?: () => { up: boolean } | undefined
}

export type Metrics = {
  /** Begins to count what the events tell. */
  open(): Promise<void>
  /** Everything, in the text format of Prometheus. */
  text(): Promise<string>
  requested(method: string, route: string, status: number): void
  routed(jobs: number): void
  swept(what: { woken: number; requeued: number; overdue: number }): void
}

/**
 * The figures of docs/http.md, "Metrics". Gauges are read when they are asked for; counters and
 * histograms of jobs grow, at each scrape, by the durable events written since the one before, so
 * that none is counted twice and nothing is read in between.
 *
 * @example
 * const metrics = createMetrics(db)
 * await metrics.open()
 * const text = await metrics.text()
 */
export function createMetrics(db: Database, self?: Self): Metrics {
  const queued = createCounter('earshot_jobs_queued_total', 'Jobs that were submitted, by kind.')
  const ended = createCounter('earshot_jobs_ended_total', 'Jobs that ended, by kind and status.')
  const returned = createCounter(
    'earshot_jobs_returned_total',
    'Jobs that went back to be given out again, by cause.',
  )
  const started = createHistogram(
    'earshot_job_start_latency_seconds',
    'From the moment a completed job was due until it began, by kind.',
    BOUNDS,
  )
  const ran = createHistogram(
    'earshot_job_run_seconds',
    'How long completed jobs ran, by kind.',
    BOUNDS,
  )
  const requests = createCounter(
    'earshot_http_requests_total',
    'Requests that this coordinator answered, by route and status.',
  )
  const routed = createCounter(
    'earshot_jobs_routed_total',
    'Jobs that this coordinator gave to nodes.',
  )
  const sweeps = createCounter('earshot_sweeps_total', 'Sweeps that this coordinator did.')
  const swept = createCounter(
    'earshot_jobs_swept_total',
    'Jobs that its sweeps changed, by what became of them.',
  )
  const counted = [queued, ended, returned, started, ran, requests, routed, sweeps, swept]
  let at: Position | null = null
  let looking: Promise<Gauges> | undefined

  async function countEvents(): Promise<void> {
    for (let page = 1; page <= PAGES; page += 1) {
      const read = await readMetrics(db.pool, at)
      at = read.next
      count(read)
      if (!read.more) return
    }
  }

  async function lookOnce(): Promise<Gauges> {
    await countEvents()
    return readGauges(db.pool)
  }

  function count({ events, runs }: Page): void {
    for (const { type, kind, cause, count } of events) {
      if (type === 'job.queued') queued.add({ kind: kind ?? '' }, count)
      if (type === 'job.completed' || type === 'job.failed' || type === 'job.cancelled')
        ended.add({ kind: kind ?? '', status: type.slice('job.'.length) }, count)
      if (type === 'job.requeued') returned.add({ cause: cause ?? '' }, count)
    }
    for (const { kind, count, ...run } of runs) {
      ran.add({ kind }, run.ran, count, run.ran_s)
      if (run.waited !== null) started.add({ kind }, run.waited, count, run.waited_s)
    }
  }

  return {
    open: countEvents,
    async text() {
      // Scrapers that ask at once share one look: two would count the same events twice.
      looking ??= lookOnce().finally(() => (looking = undefined))
      const look = await looking
      return [
        ...gauges(look),
        ...leading(look, self),
        ...listening(self),
        ...redisOf(self),
        ...connections(db),
        ...counted.map((one) => one.read()),
      ]
        .map(expose)
        .join('')
    },
    requested: (method, route, status) => requests.add({ method, route, status: String(status) }),
    routed: (jobs) => routed.add({}, jobs),
    swept(what) {
      sweeps.add()
      for (const name of ['woken', 'requeued', 'overdue'] as const)
        if (what[name] > 0) swept.add({ what: name }, what[name])
    },
  }
}

function gauges({ jobs, nodes, lease_s }: Gauges): Metric[] {
  const lanes = jobs.map(({ status, role, requires, class: urgency, jobs: count, oldest_s }) => ({
    labels: { status, role, needs: needsText(requires), class: urgency },
    count,
    oldest_s,
  }))
  const statuses = ['online', 'degraded', 'offline'].map((status) => ({
    labels: { status },
    value: nodes.filter((node) => node.status === status).length,
  }))
  const up = nodes.filter(({ status }) => status !== 'offline')
  return [
    gauge(
      'earshot_jobs',
      'Open jobs by status and lane; a lane is counted to 10,000, all to 50,000.',
      lanes.map(({ labels, count }) => ({ labels, value: count })),
    ),
    gauge(
      'earshot_oldest_job_seconds',
      'For how long the oldest of these jobs has been so.',
      lanes.map(({ labels, oldest_s }) => ({ labels, value: oldest_s ?? 0 })),
    ),
    gauge('earshot_nodes', 'Nodes by status.', statuses),
    gauge(
      'earshot_node_heartbeat_age_seconds',
      'How long ago each node that is not offline last renewed its lease.',
      up.map(({ id, silent_s }) => ({ labels: { node: id }, value: silent_s })),
    ),
    gauge('earshot_lease_seconds', 'How long after its last heartbeat a node may hold its jobs.', [
      { value: lease_s },
    ]),
  ]
}

function leading({ term, led }: Gauges, self: Self | undefined): Metric[] {
  return [
    gauge('earshot_leader_term', 'The term of the leadership; it grows with every change.', [
      { value: Number(term) },
    ]),
    gauge('earshot_led', 'Whether any coordinator leads.', [{ value: Number(led) }]),
    gauge('earshot_leading', 'Whether this coordinator leads.', [
      { value: Number(self !== undefined && self.term() !== null) },
    ]),
  ]
}

function listening(self: Self | undefined): Metric[] {
  const listener = self?.listener()
  if (listener === undefined) return []
  const states = ['listening', 'reconnecting', 'pooled'].map((state) => ({
    labels: { state },
    value: Number(listener.state === state),
  }))
  const proved =
    listener.provedAt === null ? [] : [{ value: (monotonicMs() - listener.provedAt) / 1000 }]
  return [
    gauge(
      'earshot_listener_state',
      'How this coordinator hears notifications: 1 for the state that it is in.',
      states,
    ),
    gauge(
      'earshot_listener_probe_age_seconds',
      'How long ago a notification sent as a probe was heard.',
      proved,
    ),
    {
      name: 'earshot_listener_connects_total',
      help: 'How often the connection that listens was made.',
      type: 'counter',
      samples: [{ value: listener.connects }],
    },
  ]
}

function redisOf(self: Self | undefined): Metric[] {
  const redis = self?.redis?.()
  return redis === undefined
    ? []
    : [
        gauge(
          'earshot_redis_up',
          "Whether this coordinator's Redis answers; absent where it has none.",
          [{ value: Number(redis.up) }],
        ),
      ]
}

function connections({ pool }: Database): Metric[] {
  const { totalCount, idleCount, waitingCount } = pool
  const samples = Object.entries({
    idle: idleCount,
    busy: totalCount - idleCount,
    awaited: waitingCount,
  }).map(([state, value]) => ({ labels: { state }, value }))
  return [
    gauge(
      'earshot_database_connections',
      "Connections of this process's pool; awaited: queries that wait for one.",
      samples,
    ),
  ]
}
