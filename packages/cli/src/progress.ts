import cliProgress from 'cli-progress'
import type { Output } from './output.ts'
import { safe } from './wording.ts'

// CommonJS: not all of its exports are seen by name.
const { Format, Presets, SingleBar } = cliProgress

export type Progress = {
  /** From 0 to 1. */
  update(share: number): void
  /** What is going on before there is a share; takes the place of the bar until then. */
  say(text: string): void
  stop(): void
}

/** What takes less than this needs no bar. */
const PATIENCE_MS = 2_000

/**
 * A progress bar on standard error, for whatever takes longer than two seconds; none where no one
 * watches.
 *
 * @example
 * const progress = createProgress(output, 'talk.mp3: hearing')
 * await client.wait(job, { onProgress: progress.update }).finally(progress.stop)
 */
export function createProgress(output: Output, label: string): Progress {
  if (!output.watched || output.json)
    return { update: () => undefined, say: () => undefined, stop: () => undefined }
  let share = 0
  let said = ''
  let bar: cliProgress.SingleBar | undefined
  const timer = setTimeout(() => {
    bar = new SingleBar(
      {
        format: (options, { progress }) =>
          progress === 0 && said !== ''
            ? `${label}: ${said}`
            : `${label} ${Format.BarFormat(progress, options)} ${Math.round(progress * 100)} %`,
        stream: output.stderr as NodeJS.WritableStream,
        clearOnComplete: true,
        hideCursor: true,
        gracefulExit: false,
      },
      Presets.shades_classic,
    )
    bar.start(100, Math.round(share * 100))
  }, PATIENCE_MS)
  return {
    update: (next) => {
      share = Math.min(1, Math.max(share, next))
      bar?.update(Math.round(share * 100))
    },
    say: (text) => {
      said = text
      bar?.update(Math.round(share * 100))
    },
    stop: () => {
      clearTimeout(timer)
      bar?.stop()
    },
  }
}

/** Says why the job that someone waits for is still not done; `client.wait` calls it. */
export const troubleTeller =
  (output: Output) =>
  (sentence: string, attempt: number): void =>
    output.note(`Still waiting after ${attempt} attempts. The last one: ${safe(sentence)}`)
