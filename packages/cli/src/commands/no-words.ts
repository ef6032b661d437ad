import { EarshotError, type DocumentView } from '@earshot/contract'
import { clock, safe } from '../wording.ts'

/**
 * What to tell of a document that has no text: an empty transcript alone would look like a fault.
 *
 * @throws EarshotError with the document's own error when it failed
 */
export function noWords({
  id,
  title,
  status,
  error,
  duration_s,
  level_db,
  kind,
}: DocumentView): string {
  const name = `document ${id}, ${safe(title)}`
  if (error !== null)
    throw new EarshotError(error.code, `There is no transcript of ${name}: ${error.message}`)
  if (status !== 'ready')
    return `There is no transcript yet: ${name}, is ${status === 'queued' ? 'waiting for its turn' : 'being worked on'}.`
  if (kind === 'text') return `There is nothing in ${name}.`
  const level = level_db === null ? '' : `; its loudest sound has ${level_db} dB`
  return `No speech was heard in ${name}${duration_s === null ? '' : ` (${clock(duration_s)})`}${level}.`
}
