import pg from 'pg'
import { EarshotError } from '@earshot/contract'

/**
 * The settings of a session on which the text of an answer or of a statement depends. A role or a
 * database may have others. Poolers know these three: PgBouncer gives them to whichever server
 * connection the client gets.
 */
export const SESSION = {
  DateStyle: 'ISO, MDY',
  TimeZone: 'UTC',
  standard_conforming_strings: 'on',
} as const

type Startup = { getStartupConf(): Record<string, string> }
const { getStartupConf } = pg.Client.prototype as unknown as Startup

/** A client of node-postgres whose session has {@link SESSION} from its first statement. */
export class SessionClient extends pg.Client implements Startup {
  getStartupConf(): Record<string, string> {
    return { ...getStartupConf.call(this), ...SESSION }
  }
}

/** What `refuseOddDatabase` looks at; one row. */
const SEEN = `select current_setting('server_encoding') as encoding, current_setting('DateStyle') as dates`

/**
 * Stops at a database that cannot hold every text, and at a pooler that drops the settings of the
 * session.
 *
 * @throws EarshotError EARSHOT_DATABASE with what to do
 */
export async function refuseOddDatabase(pool: pg.Pool): Promise<void> {
  const { rows } = await pool.query<{ encoding: string; dates: string }>(SEEN)
  const { encoding, dates } = rows[0]!
  if (encoding !== 'UTF8')
    throw new EarshotError(
      'EARSHOT_DATABASE',
      `The database has the encoding ${encoding}; Earshot needs UTF8.`,
      { hint: 'Make another: createdb --encoding=UTF8 --template=template0 earshot' },
    )
  if (!dates.startsWith('ISO'))
    throw new EarshotError(
      'EARSHOT_DATABASE',
      `The database writes dates in DateStyle ${dates}, though ISO was asked for.`,
      {
        hint: "A pooler drops the setting; run once as owner: alter role … set DateStyle = 'ISO, MDY'",
      },
    )
}
