/**
 * A process that opens the embedded database in the folder it is given and says what came of it.
 */
import { openDatabase } from '../../src/open.ts'

const tell = (what: string) => process.send?.(what)

try {
  const db = await openDatabase({ home: process.argv[2] ?? '' })
  process.on('message', async () => {
    await db.pool.query('create table survivors (n int); insert into survivors values (1)')
    tell('inserted')
  })
  tell('open')
} catch (error) {
  tell((error as { code: string }).code)
}
