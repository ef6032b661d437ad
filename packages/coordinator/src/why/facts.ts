import type { JobClass, JobStatus, NodeStatus, Requires } from '@earshot/contract'
import type { Load } from '@earshot/db/functions/leadership'

/**
 * A job as far as its waiting is concerned. Times are milliseconds since 1970 on the database's
 * clock; lengths are seconds.
 */
export type JobFacts = {
  id: number
  kind: string
  role: string
  requires: Requires
  class: JobClass
  /** It cannot be cut. */
  whole: boolean
  status: JobStatus
  /** It must run alone. */
  alone: boolean
  run_at: number
  error: string | null
  node: string | null
  attempt: number
  /** Since it was assigned or began to run. */
  held_s: number | null
  /** How long it ran, when it has ended. */
  took_s: number | null
  ended_s: number | null
  /** SHA-256 of the media that it is about. */
  media: string | null
  parents: { id: number; status: JobStatus }[]
}

/** A job that a node holds. `running`: for longer than a moment. */
export type OpenJob = Pick<JobFacts, 'id' | 'kind' | 'role' | 'class' | 'whole'> & {
  running: boolean
  held_s: number
}
export type NodeFacts = {
  id: string
  protocol: number
  status: NodeStatus
  /** Why it gets no work, in its own words. */
  reason: string | null
  stopping: boolean
  drained: boolean
  /** Since its last heartbeat. */
  silent_s: number
  roles: string[]
  tags: Record<string, unknown>
  /** Role to free slots, as the routing sees them; null when it is offered no work at all. */
  free: Record<string, number> | null
  /**
   * Role to what it has in hand, as the routing sees it; empty when it is offered no work at all.
   */
  load: Record<string, Load>
  open: OpenJob[]
  /** Those of this job's role, or of all (`*`). probe_s: seconds until it is probed. */
  quarantines: { role: string; reason: string; probe_s: number | null }[]
  /** The job that must run alone there. */
  reserved_for: number | null
}

/**
 * A lane of the job's role that has work of a class, and how much of it goes before the job:
 * counted up to 10,000. `aged`: batch work of which the next job has waited for too long.
 */
export type LaneFacts = {
  role: string
  requires: Requires
  class: JobClass
  before: number
  own: boolean
  aged: boolean
}
/** Median run time of a kind on a node, over what ended lately. */
export type RunTime = { kind: string; node: string; seconds: number }
/**
 * Who holds the media, and when that coordinator last said that it is there; null when it never
 * did.
 */
export type Holder = { id: string; seen_at: number | null }

/** patience_s: how long batch work waits before it gets one start in ten. */
export type MeshFacts = {
  routable_s: number
  patience_s: number
  led: boolean
  nodes: NodeFacts[]
  lanes: LaneFacts[]
  times: RunTime[]
  holders: Holder[]
}

export type Facts = { now: number; job: JobFacts; mesh: MeshFacts }
