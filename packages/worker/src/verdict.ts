import { EarshotError, type ErrorCode } from '@earshot/contract'
import type { Outcome, Verdict } from '@earshot/db/functions/jobs'

/** `away`: what the job needs is out of reach; it goes back, charging no one. */
export type JobOutcome = { outcome: Outcome } | { away: string }

/** Who is to blame, by what happened. Codes that are not listed are charged to the job. */
const VERDICTS: Partial<Record<ErrorCode, Verdict | 'away'>> = {
  EARSHOT_BAD_REQUEST: 'final',
  EARSHOT_TOO_LARGE: 'final',
  EARSHOT_CONTEXT_TOO_LONG: 'final',
  EARSHOT_NOT_FOUND: 'final',
  EARSHOT_MEDIA_EMPTY: 'final',
  EARSHOT_MEDIA_UNREADABLE: 'final',
  EARSHOT_MEDIA_REFUSED: 'final',
  EARSHOT_MEDIA_TOO_LONG: 'final',
  EARSHOT_MEDIA_CHANGED: 'final',
  EARSHOT_MEDIA_GONE: 'final',
  EARSHOT_RESULT_REFUSED: 'final',
  EARSHOT_ENGINE_MISSING: 'node',
  EARSHOT_DISK_FULL: 'node',
  EARSHOT_UNREACHABLE: 'away',
  EARSHOT_DATABASE: 'away',
  // A schema update is under way, or this box is older than the database.
  EARSHOT_SCHEMA_MISSING: 'away',
  EARSHOT_UNAUTHORIZED: 'node',
  // This box's clock is off, or it signed with a secret that was replaced: no other box need fail.
  EARSHOT_BAD_SIGNATURE: 'node',
}

/**
 * Turns what a handler threw into who is charged for it.
 *
 * @example
 * judge(new EarshotError('EARSHOT_MEDIA_EMPTY', 'The file is empty.')) // { outcome: { error: { …, verdict: 'final' } } }
 */
export function judge(err: unknown): JobOutcome {
  if (!(err instanceof EarshotError)) {
    if (isDiskFull(err))
      return {
        outcome: {
          error: {
            code: 'EARSHOT_DISK_FULL',
            message: `Its disk is full: ${err.message}.`,
            verdict: 'node',
          },
        },
      }
    const message = err instanceof Error ? err.message : String(err)
    return {
      outcome: {
        error: {
          code: 'EARSHOT_INTERNAL',
          message: `Something unexpected happened: ${message}`,
          verdict: 'job',
        },
      },
    }
  }
  const verdict = VERDICTS[err.code] ?? 'job'
  if (verdict === 'away') return { away: err.message }
  // The job keeps one sentence; what to do about it belongs to it.
  const message = err.hint === undefined ? err.message : `${err.message} ${err.hint}`
  return { outcome: { error: { code: err.code, message, verdict } } }
}

/** Whatever a handler wrote: a full disk is no fault of the job's. */
export function isDiskFull(err: unknown): err is Error {
  return err instanceof Error && 'code' in err && (err.code === 'ENOSPC' || err.code === 'EDQUOT')
}
