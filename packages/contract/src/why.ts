import type { JobStatus, Requires } from './api.ts'
import type { JobClass } from './classes.ts'

/** now: it could start there at once. later: when what stands in the way is over. never: the node lacks something. */
export type WhyChance = 'now' | 'later' | 'never'

/** What one node has to say to one job. */
export type WhyNode = {
  node: string
  chance: WhyChance
  /**
   * Short phrases, such as `tag vram_gb 8 < 12`, `full for about 40 s`, `offline for 3 h`; empty when it could start now. To an
   * interactive job a full node names the longest work in hand that cannot be cut: it waits no longer than that.
   */
  reasons: string[]
}

/**
 * The answer to GET /v1/jobs/:id/why. Times are ISO 8601 in UTC; `expected_start` is computed from free slots, the jobs before it
 * and the run times measured lately, and is null when nobody can tell.
 */
export type WhyView = {
  id: number
  kind: string
  role: string
  requires: Requires
  class: JobClass
  status: JobStatus
  /** The answer, in a sentence or two. */
  sentence: string
  /** For a blocked job: the parents that have not ended. */
  waits_for: { id: number; status: JobStatus }[]
  /** For a job that waits for a node: its place among the jobs of equal needs, from 1 (interactive ones stand before batch), and the jobs before it in lanes that share its nodes. */
  position: number | null
  before_in_other_lanes: number | null
  expected_start: string | null
  /** What no known node offers, when none can ever run it. */
  missing: string[]
  nodes: WhyNode[]
}
