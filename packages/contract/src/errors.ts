/**
 * The one catalogue of errors. Each code has the HTTP status it answers with; the sentence is
 * written where the error is thrown, since only there is it known what happened to which thing and
 * what to do about it. docs/errors.md mirrors it.
 */
export const ERRORS = {
  EARSHOT_BAD_CONFIG: { status: 400, about: 'a setting is missing or wrong' },
  EARSHOT_BAD_REQUEST: { status: 400, about: 'a request has a missing or wrong field' },
  EARSHOT_UNKNOWN_KIND: { status: 400, about: 'no kind of job has this name' },
  EARSHOT_UNAUTHORIZED: { status: 401, about: 'the mesh key is missing or wrong' },
  EARSHOT_FORBIDDEN_ORIGIN: {
    status: 403,
    about: 'a browser page of another origin, or an unknown Host, asked',
  },
  EARSHOT_BAD_SIGNATURE: { status: 403, about: 'a signed media address is wrong or has expired' },
  EARSHOT_NOT_FOUND: {
    status: 404,
    about: 'there is no such job, document, artifact, node or route',
  },
  EARSHOT_BODY_LATE: { status: 408, about: 'the body of a request did not arrive in time' },
  EARSHOT_KEY_REUSED: {
    status: 409,
    about: 'an idempotency key belongs to a job of another kind or payload',
  },
  EARSHOT_MEDIA_GONE: { status: 410, about: 'the media is no longer where it was taken in' },
  EARSHOT_EVENTS_PRUNED: {
    status: 410,
    about: 'events after this id were deleted, since they were old',
  },
  EARSHOT_TOO_LARGE: { status: 413, about: 'a body or a file is over a limit' },
  EARSHOT_ENCODED: { status: 415, about: 'a body is compressed, which is not taken' },
  EARSHOT_MEDIA_EMPTY: { status: 422, about: 'the file is empty or holds no sound' },
  EARSHOT_MEDIA_UNREADABLE: {
    status: 422,
    about: 'the file is not audio, video or text that can be read',
  },
  EARSHOT_MEDIA_REFUSED: {
    status: 422,
    about:
      'the file is of a sort that is not taken in: a playlist, a device, a link out of the inbox',
  },
  EARSHOT_MEDIA_CHANGED: { status: 409, about: 'the file changed while it was worked on' },
  EARSHOT_MEDIA_TOO_LONG: { status: 422, about: 'the recording is longer than the limit' },
  EARSHOT_RESULT_REFUSED: {
    status: 422,
    about: 'the result of a job does not fit its kind, or the database refused it',
  },
  EARSHOT_BUSY: { status: 429, about: 'more requests wait than a coordinator can answer now' },
  EARSHOT_HANDLER_FAILED: {
    status: 500,
    about: 'the handler of a kind of your own threw an error',
  },
  EARSHOT_TRIES_EXHAUSTED: { status: 500, about: 'a job failed as often as it may' },
  EARSHOT_POISON: { status: 500, about: 'nodes died whenever they ran this job' },
  EARSHOT_DEADLINE: { status: 504, about: 'a job was not done by its deadline' },
  EARSHOT_CANCELLED: { status: 409, about: 'a job was cancelled' },
  EARSHOT_PARENT_FAILED: { status: 409, about: 'a job that this one waited for did not succeed' },
  EARSHOT_SKIPPED: {
    status: 409,
    about: 'a job was skipped, since one that it waited for did not succeed',
  },
  EARSHOT_SILENT: { status: 500, about: 'a job made no progress for longer than its kind may' },
  EARSHOT_ENGINE_FAILED: { status: 500, about: 'an engine crashed, hung or gave no usable answer' },
  EARSHOT_UNKNOWN_MODEL: { status: 404, about: 'no node of the mesh knows a model of this name' },
  EARSHOT_NO_NODE: {
    status: 503,
    about: 'no node that could do it is up, or none had room in time',
  },
  EARSHOT_CONTEXT_TOO_LONG: {
    status: 400,
    about: 'what was said is longer than the model can take in',
  },
  EARSHOT_ANSWER_CUT: {
    status: 502,
    about: 'an answer broke off after its beginning had been sent; it is not begun again',
  },
  EARSHOT_ENGINE_MISSING: {
    status: 503,
    about: 'a program or model that this needs is not on this machine',
  },
  EARSHOT_DISK_FULL: { status: 507, about: 'a disk is full' },
  EARSHOT_DATABASE: { status: 503, about: 'the database cannot be reached or refuses' },
  EARSHOT_DATABASE_NEEDED: { status: 400, about: 'this command needs DATABASE_URL' },
  EARSHOT_DATABASE_IN_USE: { status: 409, about: 'another process has the embedded database open' },
  EARSHOT_SCHEMA_NEWER: { status: 409, about: 'the database was migrated by a newer Earshot' },
  EARSHOT_SCHEMA_MISSING: {
    status: 503,
    about: 'the database holds no Earshot schema, or an older one',
  },
  EARSHOT_MIGRATION_CHANGED: {
    status: 409,
    about: 'a migration that was applied differs from its file',
  },
  EARSHOT_VECTOR_MISSING: { status: 503, about: 'the database has no pgvector extension' },
  EARSHOT_POOLED: {
    status: 503,
    about: 'LISTEN does not work through this connection: a transaction pooler is in between',
  },
  EARSHOT_KEY_NEEDED: { status: 400, about: 'listening beyond loopback needs EARSHOT_KEY' },
  EARSHOT_PROTOCOL: {
    status: 409,
    about: 'this worker or client speaks another protocol version than the mesh',
  },
  EARSHOT_REPLACED: { status: 409, about: 'a newer process with the same node id took over' },
  EARSHOT_UNREACHABLE: { status: 503, about: 'no mesh answers at this address' },
  EARSHOT_INTERNAL: { status: 500, about: 'a fault in Earshot itself' },
} as const satisfies Record<`EARSHOT_${string}`, { status: number; about: string }>

export type ErrorCode = keyof typeof ERRORS

/** What a failed HTTP request carries, and what `--json` prints on failure. */
export type ErrorBody = {
  error: { code: ErrorCode; message: string; field?: string; hint?: string }
}

/**
 * An error meant for people: a code from the catalogue, one sentence that says what happened to
 * which thing, and where possible a hint that says what to do.
 *
 * @example
 * throw new EarshotError('EARSHOT_NOT_FOUND', 'There is no job 12.', { hint: 'List jobs with: earshot jobs' })
 */
export class EarshotError extends Error {
  readonly code: ErrorCode
  /** The name of the offending field, for bad requests. */
  readonly field: string | undefined
  /** What to do about it, one sentence or one command. */
  readonly hint: string | undefined

  constructor(
    code: ErrorCode,
    message: string,
    more: { field?: string; hint?: string; cause?: unknown } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause })
    this.name = 'EarshotError'
    this.code = code
    this.field = more.field
    this.hint = more.hint
  }

  /** The HTTP status of this error's code. */
  get status(): number {
    return ERRORS[this.code].status
  }

  toJSON(): ErrorBody {
    return {
      error: {
        code: this.code,
        message: this.message,
        ...(this.field === undefined ? {} : { field: this.field }),
        ...(this.hint === undefined ? {} : { hint: this.hint }),
      },
    }
  }
}
