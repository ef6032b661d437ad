import pino from 'pino'

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/**
 * What every part writes its log to; `log.child({ part: 'inbox' })` marks lines with the part they
 * come from.
 */
export type Log = pino.Logger

export type LogSettings = {
  level: LogLevel
  /** Where lines go: standard error in the command, since standard output carries results. */
  destination: { write(line: string): unknown }
  /** One short line for people instead of JSON. */
  human: boolean
  colours?: boolean
  /** Strings that must never be seen in a log, such as the mesh key. */
  secrets?: readonly (string | undefined)[]
}

/**
 * Creates the log: JSON lines for machines, one short line an entry for people. Passwords in
 * addresses, signatures and the given secrets are masked in every line, wherever in the entry they
 * are.
 *
 * @example
 * const log = createLog({ level: 'info', destination: process.stderr, human: true })
 * log.info({ node: 'linux-01' }, 'joined the mesh')
 */
export function createLog({
  level,
  destination,
  human,
  colours = false,
  secrets = [],
}: LogSettings): Log {
  const masked = (line: string) => maskSecrets(line, secrets)
  const write = human
    ? (line: string) => destination.write(humanLine(line, colours))
    : (line: string) => destination.write(line)
  return pino(
    {
      level,
      base: null,
      redact: { paths: REDACTED, censor: MASK },
      hooks: { streamWrite: masked },
    },
    { write },
  )
}

/** A log that writes nothing, for tests and for commands that need none. */
export function silentLog(): Log {
  return pino({ level: 'silent' })
}

const MASK = '***'
const REDACTED = [
  'password',
  'key',
  'secret',
  'authorization',
  '*.password',
  '*.key',
  '*.secret',
  '*.authorization',
  'headers.authorization',
  'req.headers.authorization',
]

/**
 * Replaces passwords in addresses, signatures of media addresses and the given secrets by `***`.
 *
 * @example
 * maskSecrets('postgres://ada:hunter2@db/earshot')   // 'postgres://ada:***@db/earshot'
 */
export function maskSecrets(text: string, secrets: readonly (string | undefined)[] = []): string {
  let masked = text
    // From `://` on: a scheme in front would make long words cost the square of their length.
    .replace(/(:\/\/[^\s:@/"']*):[^\s@/"']+@/g, `$1:${MASK}@`)
    .replace(/([?&][\w-]*(?:signature|key|password|token|secret)=)[^&\s"']+/gi, `$1${MASK}`)
  for (const secret of secrets) {
    if (secret)
      masked = masked.replaceAll(secret, MASK).replaceAll(JSON.stringify(secret).slice(1, -1), MASK)
  }
  return masked
}

type Entry = {
  level: number
  time: number
  msg?: string
  part?: string
  err?: { message?: string; code?: string; stack?: string }
} & Record<string, unknown>

const LEVEL_NAMES: Record<number, string> = {
  10: 'trace',
  20: 'debug',
  30: 'info',
  40: 'warn',
  50: 'error',
  60: 'fatal',
}
const LEVEL_COLOURS: Record<number, string> = {
  40: '\u001b[33m',
  50: '\u001b[31m',
  60: '\u001b[31m',
}
const DIM = '\u001b[2m'
const PLAIN = '\u001b[0m'

/**
 * `14:03:09 warn  inbox: cannot read a.wav file=a.wav`: the time, level, part, message, then the
 * fields.
 */
function humanLine(json: string, colours: boolean): string {
  const { level, time, msg = '', part, err, ...fields } = JSON.parse(json) as Entry
  const paint = (colour: string | undefined, text: string) =>
    colours && colour ? `${colour}${text}${PLAIN}` : text
  const name = (LEVEL_NAMES[level] ?? String(level)).padEnd(5)
  const details = Object.entries(fields).map(
    ([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  )
  const cause = err === undefined ? '' : `: ${err.code ? `${err.code} ` : ''}${err.message ?? ''}`
  // A stack only where someone looks for a fault: people get a sentence.
  const stack = err?.stack && level >= 60 ? `\n${err.stack}` : ''
  const text = `${part ? `${part}: ` : ''}${msg}${cause}`
  return `${paint(DIM, new Date(time).toTimeString().slice(0, 8))} ${paint(LEVEL_COLOURS[level], name)} ${oneLine(text)}${paint(DIM, oneLine(details.join('')))}${stack}\n`
}

// File names may hold newlines and terminal control codes; they must neither break the line nor
// steer the terminal.
function oneLine(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (character) =>
    character === '\n' ? '\\n' : `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
  )
}
