import { BODY, message, query, stringAt, typeOf } from './messages.ts'
import { copiesFromClient, listenChanges, type ListenChange } from './sql-text.ts'

export type Rewritten = { message: Buffer; listens: ListenChange[] }

export type Statements = {
  /** The message as the shared engine may see it. */
  rewrite(message: Buffer): Rewritten
  /** Messages that forget every named statement of this client. */
  closeAll(): Buffer[]
}

// Run instead of COPY FROM STDIN: the engine itself then raises the error, so that the state of the
// transaction is right.
const REFUSE_COPY = `do $refuse$ begin
  raise exception 'COPY FROM STDIN is not available on the embedded database'
    using errcode = '0A000', hint = 'Insert with unnest, or set DATABASE_URL to a PostgreSQL server';
end $refuse$`

/**
 * Keeps the named statements of one logical client apart: all clients share one engine session, in
 * which a name exists once, so every name is replaced by one that no other client uses. Refuses
 * COPY FROM STDIN and notes LISTEN on the way.
 *
 * @param client a number that no other client of this engine has
 */
export function createStatements(client: number): Statements {
  const names = new Map<string, string>()

  // Numbered rather than prefixed: PostgreSQL cuts names at 63 bytes, and a prefix could make two
  // long ones equal.
  function rename(name: string): string {
    if (name === '') return ''
    const known = names.get(name)
    if (known !== undefined) return known
    const made = `earshot_${client}_${names.size + 1}`
    names.set(name, made)
    return made
  }

  function parse(original: Buffer): Rewritten {
    const name = stringAt(original, BODY)
    const sql = stringAt(original, name.next)
    const refused = copiesFromClient(sql.text)
    const text = refused ? REFUSE_COPY : sql.text
    return {
      message: message('P', rename(name.text), text, original.subarray(sql.next)),
      listens: listenChanges(sql.text),
    }
  }

  function bind(original: Buffer): Buffer {
    const portal = stringAt(original, BODY)
    const name = stringAt(original, portal.next)
    if (name.text === '') return original
    return message('B', portal.text, rename(name.text), original.subarray(name.next))
  }

  function describeOrClose(original: Buffer): Buffer {
    const name = stringAt(original, BODY + 1)
    if (original[BODY] !== 0x53 /* S, a statement */ || name.text === '') return original
    return message(typeOf(original), Buffer.from('S'), rename(name.text))
  }

  function simple(original: Buffer): Rewritten {
    const sql = stringAt(original, BODY).text
    return {
      message: copiesFromClient(sql) ? query(REFUSE_COPY) : original,
      listens: listenChanges(sql),
    }
  }

  return {
    rewrite(original) {
      const type = typeOf(original)
      if (type === 'Q') return simple(original)
      if (type === 'P') return parse(original)
      if (type === 'B') return { message: bind(original), listens: [] }
      if (type === 'D' || type === 'C') return { message: describeOrClose(original), listens: [] }
      return { message: original, listens: [] }
    },
    closeAll: () => [...names.values()].map((name) => message('C', Buffer.from('S'), name)),
  }
}
