/**
 * Looks at SQL text for the two things that the embedded database must know of: COPY FROM STDIN,
 * which would end the engine, and LISTEN, whose notifications belong to one logical connection.
 */

const QUOTED = [
  String.raw`--[^\n]*`,
  String.raw`[eE]'(?:[^'\\]|\\.|'')*'`,
  String.raw`'(?:[^']|'')*'`,
  String.raw`(\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$).*?\1`,
  String.raw`"(?:[^"]|"")*"`,
]
const SPECIAL = new RegExp(`${QUOTED.join('|')}|/\\*`, 'gs')

/**
 * The text with comments and string constants replaced by a blank; quoted names stay when
 * `keepNames` is given.
 */
export function bareSql(sql: string, keepNames = false): string {
  let bare = ''
  let at = 0
  for (;;) {
    SPECIAL.lastIndex = at
    const found = SPECIAL.exec(sql)
    if (found === null) return bare + sql.slice(at)
    const isName = found[0].startsWith('"')
    bare += sql.slice(at, found.index) + (isName && keepNames ? found[0] : isName ? '"x"' : ' ')
    at = found[0] === '/*' ? commentEnd(sql, found.index) : found.index + found[0].length
  }
}

/** Block comments nest in PostgreSQL. */
function commentEnd(sql: string, start: number): number {
  const marks = /\/\*|\*\//g
  marks.lastIndex = start
  for (let depth = 0; ;) {
    const mark = marks.exec(sql)
    if (mark === null) return sql.length
    depth += mark[0] === '/*' ? 1 : -1
    if (depth === 0) return marks.lastIndex
  }
}

/** Whether one of the statements is COPY … FROM STDIN. */
export function copiesFromClient(sql: string): boolean {
  // Nearly every statement leaves here: the words are rare, looking closely is not cheap.
  if (!/copy/i.test(sql) || !/stdin/i.test(sql)) return false
  return /(?:^|;)\s*copy\b[^;]*\bfrom\s+stdin\b/i.test(bareSql(sql))
}

export type ListenChange = { listen: boolean; /** null: all channels */ channel: string | null }

const LISTEN = /(?:^|;)\s*(un)?listen\s+(?:(\*)|"((?:[^"]|"")+)"|([\p{L}_][\p{L}\p{N}_$]*))/giu

/** The LISTEN and UNLISTEN statements, in order, with the channel's name as PostgreSQL knows it. */
export function listenChanges(sql: string): ListenChange[] {
  if (!/listen/i.test(sql)) return []
  return [...bareSql(sql, true).matchAll(LISTEN)].map(([, un, all, quoted, plain]) => ({
    listen: un === undefined,
    channel:
      all === undefined ? (quoted?.replaceAll('""', '"') ?? plain?.toLowerCase() ?? '') : null,
  }))
}
