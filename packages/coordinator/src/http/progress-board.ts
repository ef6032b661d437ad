export type Progress = { job_id: number; progress: number }

/** How far running jobs are, in memory only: lost with the process, and that is all right. */
export type ProgressBoard = {
  report(news: readonly Progress[]): void
  of(job: number): number | null
  /** Called with every report; returns the way to stop. */
  listen(hear: (news: Progress) => void): () => void
}

/** As many jobs as are remembered; the one reported longest ago goes first. */
const MOST = 10_000

export function createProgressBoard(): ProgressBoard {
  const latest = new Map<number, number>()
  const listeners = new Set<(news: Progress) => void>()
  return {
    report(news) {
      for (const { job_id, progress } of news) {
        // Deleted first, so that the map stays in the order of the reports.
        latest.delete(job_id)
        latest.set(job_id, progress)
        for (const hear of listeners) hear({ job_id, progress })
      }
      for (const id of latest.keys()) {
        if (latest.size <= MOST) break
        latest.delete(id)
      }
    },
    of: (job) => latest.get(job) ?? null,
    listen(hear) {
      listeners.add(hear)
      return () => void listeners.delete(hear)
    },
  }
}
