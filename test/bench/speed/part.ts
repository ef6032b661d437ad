import type { Line } from './result.ts'
import type { Stage } from './stage.ts'

export type Bench = {
  stage: Stage
  /** How many jobs the races are about. */
  jobs: number
  /** How long the closed loop and the idling last. */
  seconds: number
  rounds: number
  quick: boolean
  /** Only this way by which the mesh's nodes hear. */
  by: 'notify' | 'redis' | undefined
  say(line: string): void
}

/** A part of the bench: one or several rows of the result. */
export type Part = (bench: Bench) => Promise<Line[]>
