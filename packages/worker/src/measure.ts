import type { Measured } from '@earshot/db/functions/nodes'

/** How much the newest run counts in the mean. */
const NEWEST = 0.2
/** An engine that ran this lately is taken to be loaded still. */
const WARM_MS = 5 * 60_000

export type Measures = {
  /** A job of a kind succeeded. `output`: what its handler gave back. */
  note(kind: string, seconds: number, output: unknown): void
  now(): Pick<Measured, 'speeds' | 'warm'>
}

/**
 * How fast this node is in each kind, as an exponentially weighted mean over the runs since it
 * started.
 *
 * @param clock milliseconds
 * @example
 * const measures = createMeasures(monotonicMs)
 * measures.note('embed', 0.05, output)
 * measures.now().speeds // { embed: 20 }: jobs a second
 */
export function createMeasures(clock: () => number): Measures {
  const kinds = new Map<string, { secondsEach: number; ranAt: number }>()
  return {
    note(kind, seconds, output) {
      const each = seconds / workIn(kind, output)
      if (!Number.isFinite(each) || each <= 0) return
      const before = kinds.get(kind)?.secondsEach ?? each
      kinds.set(kind, { secondsEach: before + NEWEST * (each - before), ranAt: clock() })
    },
    now() {
      const since = clock() - WARM_MS
      return {
        speeds: Object.fromEntries(
          [...kinds].map(([kind, { secondsEach }]) => [
            kind,
            Number((1 / secondsEach).toPrecision(2)),
          ]),
        ),
        warm: [...kinds].filter(([, { ranAt }]) => ranAt > since).map(([kind]) => kind),
      }
    },
  }
}

/**
 * A transcription's work is as long as its recording, in seconds; any other job is one piece of
 * work.
 */
function workIn(kind: string, output: unknown): number {
  if (
    kind !== 'transcribe' ||
    typeof output !== 'object' ||
    output === null ||
    !('duration_s' in output)
  )
    return 1
  return Number(output.duration_s)
}
