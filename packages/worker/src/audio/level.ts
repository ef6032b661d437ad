import { SAMPLE_RATE } from './wav.ts'

/** The quietest level that is told apart, in dB of full scale. */
const FLOOR_DB = -100
const MOMENT = SAMPLE_RATE / 10
/** The level is what this many moments reach, so that a click does not count. */
const LOUD_MOMENTS = 10
/** No speech is quieter. */
const SILENT_DB = -75
/** Recognisers understand speech at this level; speech under the second one is lifted to it. */
const GOOD_DB = -20
const FAINT_DB = -32
/** How far speech stands out from its pauses at least. Steady noise does not. */
const SPEECH_SPREAD_DB = 10

/** How loud a recording is. */
export type Level = {
  /** RMS of its loudest moments, in dB of full scale; −100 is digital silence. */
  level_db: number
  /** Nothing in it can be speech. */
  silent: boolean
  /** By how much to lift it before recognition, as a factor; 1 for most. */
  gain: number
}

/**
 * Measures how loud a recording is, a tenth of a second at a time, in flat memory.
 *
 * @example
 * const meter = createMeter()
 * meter.add(Float32Array.of(0.1, -0.1, …))
 * meter.read().level_db // -20
 */
export function createMeter(): { add(samples: Float32Array): void; read(): Level } {
  /** How many moments had each level: index 0 is the floor, one more for each dB. */
  const moments = Array.from({ length: 1 - FLOOR_DB }, () => 0)
  let [energy, counted] = [0, 0]
  const close = () => {
    const db = energy === 0 ? FLOOR_DB : 10 * Math.log10(energy / counted)
    moments[Math.round(Math.min(0, Math.max(FLOOR_DB, db))) - FLOOR_DB]!++
    energy = counted = 0
  }
  return {
    add(samples) {
      for (const sample of samples) {
        energy += sample * sample
        if (++counted === MOMENT) close()
      }
    },
    read() {
      if (counted > MOMENT / 2) close()
      const count = moments.reduce((sum, some) => sum + some, 0)
      const loud = Math.max(1, Math.min(LOUD_MOMENTS, Math.floor(count / 5)))
      const level_db = levelReached(moments, loud)
      const pause_db = levelReached(moments, Math.max(1, Math.ceil(count * 0.9)))
      const faint = level_db < FAINT_DB && level_db - pause_db >= SPEECH_SPREAD_DB
      return {
        level_db,
        silent: level_db < SILENT_DB,
        gain: faint ? 10 ** ((GOOD_DB - level_db) / 20) : 1,
      }
    },
  }
}

/** The level that `wanted` moments reach. */
function levelReached(moments: number[], wanted: number): number {
  let reached = 0
  for (let index = moments.length - 1; index > 0; index--) {
    reached += moments[index]!
    if (reached >= wanted) return index + FLOOR_DB
  }
  return FLOOR_DB
}
