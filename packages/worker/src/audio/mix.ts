import { SAMPLE_RATE } from './wav.ts'

/** Samples of each channel that are weighed together: a quarter of a second. */
export const WINDOW = SAMPLE_RATE / 4
/** A channel this much quieter (in power: 30 dB) than the loudest of its window only adds noise. */
const QUIET_SHARE = 1e-3
/** From this correlation on, a channel is the other one turned over. */
const TURNED = 0.3

/**
 * Mixes channels to one without losing any. Each window is the mean of the channels that carry
 * sound in it, so one microphone of twenty stays as loud as it was. A channel that is another one
 * with its phase turned over is turned back, since a plain mix of the two is silence.
 *
 * @param channels of each window
 * @returns mixes the next window, of up to {@link WINDOW} samples a channel, interleaved
 * @example
 * const mix = createMixer(2)
 * mix(Float32Array.of(0.5, -0.5, 0.25, -0.25)) // the size of the left channel, not silence
 */
export function createMixer(channels: number): (interleaved: Float32Array) => Float32Array {
  const signs = Array.from({ length: channels }, () => 1)
  let weights: number[] | undefined

  return (interleaved) => {
    if (channels === 1) return interleaved
    const length = Math.floor(interleaved.length / channels)
    const power = powerOf(interleaved, channels)
    const byPower = power.map((_, channel) => channel).sort((a, b) => power[b]! - power[a]!)
    const loudest = power[byPower[0]!]!
    const active = byPower.filter((channel) => power[channel]! > loudest * QUIET_SHARE)
    const sum = new Float32Array(length)
    for (const channel of active) {
      const likeness = correlate(sum, interleaved, channels, channel)
      // The sign is kept where neither is clear, and one flips only against what is there already.
      if (Math.abs(likeness) > TURNED) signs[channel] = Math.sign(likeness)
      add(sum, interleaved, channels, channel, signs[channel]!)
    }
    const next = power.map((_, channel) =>
      active.includes(channel) ? signs[channel]! / active.length : 0,
    )
    const mixed = ramp(interleaved, weights ?? next, next)
    weights = next
    return mixed
  }
}

function powerOf(interleaved: Float32Array, channels: number): number[] {
  const power = Array.from({ length: channels }, () => 0)
  for (let i = 0; i < interleaved.length; i++) power[i % channels]! += interleaved[i]! ** 2
  return power
}

/** −1 to 1; 0 where one of them is silent. */
function correlate(
  sum: Float32Array,
  interleaved: Float32Array,
  channels: number,
  channel: number,
): number {
  let [both, one, other] = [0, 0, 0]
  for (let i = 0; i < sum.length; i++) {
    const a = sum[i]!
    const b = interleaved[i * channels + channel]!
    both += a * b
    one += a * a
    other += b * b
  }
  return one * other === 0 ? 0 : both / Math.sqrt(one * other)
}

function add(
  sum: Float32Array,
  interleaved: Float32Array,
  channels: number,
  channel: number,
  sign: number,
): void {
  for (let i = 0; i < sum.length; i++) sum[i]! += sign * interleaved[i * channels + channel]!
}

/** The weighted sum; the weights move over the first hundredth of a second, so that none clicks. */
function ramp(interleaved: Float32Array, from: number[], to: number[]): Float32Array {
  const channels = to.length
  const mixed = new Float32Array(Math.floor(interleaved.length / channels))
  for (let i = 0; i < mixed.length; i++) {
    const moved = Math.min(1, i / (SAMPLE_RATE / 100))
    let sample = 0
    for (let channel = 0; channel < channels; channel++)
      sample +=
        interleaved[i * channels + channel]! * (to[channel]! * moved + from[channel]! * (1 - moved))
    mixed[i] = sample
  }
  return mixed
}
