import { Presets, SingleBar } from 'cli-progress'
import type { Output } from './output.ts'

export type Progress = { /** From 0 to 1. */ update(share: number): void; stop(): void }

/** What takes less than this needs no bar. */
const PATIENCE_MS = 2_000

/**
 * A progress bar on standard error, for whatever takes longer than two seconds; none where nobody watches.
 *
 * @example
 * const progress = createProgress(output, 'talk.mp3: hearing')
 * await client.wait(job, { onProgress: progress.update }).finally(progress.stop)
 */
export function createProgress(output: Output, label: string): Progress {
  if (!output.watched || output.json) return { update: () => undefined, stop: () => undefined }
  let share = 0
  let bar: SingleBar | undefined
  const timer = setTimeout(() => {
    bar = new SingleBar(
      {
        format: `${label} {bar} {percentage} %`,
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
    stop: () => {
      clearTimeout(timer)
      bar?.stop()
    },
  }
}
