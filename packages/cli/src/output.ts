import { EarshotError, type ErrorBody } from '@earshot/contract'
import type { Stream } from './surroundings.ts'

type Paint = (text: string) => string

/** What a command writes: results to standard output, everything else to standard error. */
export type Output = {
  /** Whether results are JSON. */
  json: boolean
  /** Whether someone watches standard error. */
  watched: boolean
  stderr: Stream
  bold: Paint
  dim: Paint
  red: Paint
  green: Paint
  yellow: Paint
  /** Writes a line of the result. */
  print(line?: string): void
  /** Writes text as it is, such as a transcript. */
  printRaw(text: string): void
  /** Writes the result as JSON: one line, so that it can be read line by line. */
  printJson(value: unknown): void
  /** Writes a remark for people; nothing when results are JSON. */
  note(line: string): void
}

/**
 * Creates the output. Colours are used only towards a terminal, and not where NO_COLOR is set
 * (https://no-color.org).
 */
export function createOutput(
  stdout: Stream,
  stderr: Stream,
  { json, noColor }: { json: boolean; noColor: boolean },
): Output {
  const coloured = Boolean(stdout.isTTY) && !noColor && !json
  const paint =
    (code: number): Paint =>
    (text) =>
      coloured ? `\u001b[${code}m${text}\u001b[0m` : text
  return {
    json,
    watched: Boolean(stderr.isTTY),
    stderr,
    bold: paint(1),
    dim: paint(2),
    red: paint(31),
    green: paint(32),
    yellow: paint(33),
    print: (line = '') => void stdout.write(`${line}\n`),
    printRaw: (text) => void stdout.write(text === '' || text.endsWith('\n') ? text : `${text}\n`),
    printJson: (value) => void stdout.write(`${JSON.stringify(value)}\n`),
    note: (line) => void (json || stderr.write(`${line}\n`)),
  }
}

/**
 * Shows an error: one sentence and what to do about it, or its ErrorBody on standard output when
 * results are JSON.
 */
export function showError(output: Output, error: unknown): void {
  const known = toEarshotError(error)
  if (output.json) return output.printJson(known.toJSON())
  const hint = known.hint === undefined ? '' : `  ${known.hint}\n`
  output.stderr.write(`earshot: ${known.message}\n${hint}`)
}

function toEarshotError(error: unknown): EarshotError {
  if (error instanceof EarshotError) return error
  if (error instanceof AggregateError && error.errors.length > 0) {
    return new EarshotError(
      'EARSHOT_INTERNAL',
      error.errors.map((one) => toEarshotError(one).message).join(' '),
    )
  }
  const message = error instanceof Error ? error.message : String(error)
  return new EarshotError('EARSHOT_INTERNAL', `Something went wrong inside Earshot: ${message}`, {
    hint: 'Run the command again with EARSHOT_LOG_LEVEL=debug to see where.',
    cause: error,
  })
}

/** The body that {@link showError} prints for an error, for commands that report several. */
export function errorBody(error: unknown): ErrorBody['error'] {
  return toEarshotError(error).toJSON().error
}
