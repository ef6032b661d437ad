/**
 * What a Redis client's error means, for the log and for the doctor; never the client's own
 * troubles.
 */
export function reasonOf(error: unknown): string {
  const cause = causeOf(error)
  const said = cause instanceof Error ? cause.message : String(cause)
  if (/Unknown RESP type/.test(said)) return 'what answers there is no Redis'
  if (/^(Command timed out|Connection is closed\.?)$|isn't writeable/.test(said))
    return 'it does not answer'
  return said.replace(/ Retrying from scratch after \d+ms\./, '')
}

/** A cluster's client only says that it failed; why, the node that it asked last does. */
export function causeOf(error: unknown): unknown {
  return error instanceof Error && 'lastNodeError' in error && error.lastNodeError instanceof Error
    ? error.lastNodeError
    : error
}
