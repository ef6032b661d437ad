import { EarshotError } from '@earshot/contract'
import type { FastifyRequest } from 'fastify'

/**
 * A form with one file: its other fields as text, `name[]` and repeated ones as lists, whatever the
 * order.
 */
export type Form<File> = { fields: Record<string, string | string[]>; file: File; fileName: string }

/** A prompt, at most. */
const FIELD_BYTES = 256 * 1024

/**
 * Reads a body of multipart/form-data; its file is handed on piece by piece as it comes, and never
 * held.
 *
 * @param keep takes the file
 * @param discard undoes it, when the rest of the form is no good
 * @throws EarshotError EARSHOT_BAD_REQUEST, field `file`; what `keep` throws
 */
export async function readForm<File>(
  request: FastifyRequest,
  keep: (stream: AsyncIterable<Uint8Array>) => Promise<File>,
  discard: (file: File) => Promise<void>,
): Promise<Form<File>> {
  if (!request.isMultipart())
    throw new EarshotError(
      'EARSHOT_BAD_REQUEST',
      'This route takes multipart/form-data with a file.',
      { field: 'content-type' },
    )
  const fields: Form<File>['fields'] = {}
  let kept: { file: File; fileName: string } | undefined
  try {
    for await (const part of request.parts({
      limits: { fileSize: Infinity, files: 1, fields: 50, fieldSize: FIELD_BYTES },
      isPartAFile: (field, _type, fileName) => fileName !== undefined || field === 'file',
    })) {
      if (part.type === 'field') {
        if (part.valueTruncated)
          throw new EarshotError(
            'EARSHOT_TOO_LARGE',
            `The field "${part.fieldname}" is longer than ${FIELD_BYTES} bytes.`,
            { field: part.fieldname },
          )
        addField(fields, part.fieldname, String(part.value))
      } else {
        if (part.fieldname !== 'file')
          throw new EarshotError(
            'EARSHOT_BAD_REQUEST',
            `A file belongs into the field "file", not "${part.fieldname}".`,
            { field: part.fieldname },
          )
        kept = { file: await keep(part.file), fileName: part.filename || 'audio' }
      }
    }
    if (kept === undefined)
      throw new EarshotError('EARSHOT_BAD_REQUEST', 'The file is missing.', { field: 'file' })
    return { fields, ...kept }
  } catch (error) {
    if (kept !== undefined) await discard(kept.file)
    // What is left of a refused upload is read and dropped, so that the refusal can be heard.
    request.raw.unpipe()
    request.raw.resume()
    if (error instanceof Error && 'code' in error && error.code === 'FST_FILES_LIMIT')
      throw new EarshotError('EARSHOT_BAD_REQUEST', 'The form has more than one file.', {
        field: 'file',
      })
    throw isBrokenForm(error)
      ? new EarshotError('EARSHOT_BAD_REQUEST', 'The form breaks off, or is none.', {
          cause: error,
        })
      : error
  }
}

/** The parser's own errors are plain ones; those of a disk say which call failed. */
function isBrokenForm(error: unknown): boolean {
  return (
    error instanceof Error &&
    !(error instanceof EarshotError) &&
    !('syscall' in error) &&
    !('statusCode' in error)
  )
}

function addField(fields: Form<unknown>['fields'], given: string, value: string): void {
  // Forms send what no one filled in, too.
  if (value === '') return
  // PHP, Dart and Kotlin number the entries of a list: `name[0]`.
  const name = given.replace(/\[\d{0,3}\]$/, '')
  const before = fields[name]
  if (before !== undefined) fields[name] = [...(Array.isArray(before) ? before : [before]), value]
  else fields[name] = name === given ? value : [value]
}
