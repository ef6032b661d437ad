import { describe, expect, test } from 'vitest'
import { databases, testDatabase } from '../helpers/database.ts'

type Finding = { function: string; line: number | null; message: string }

describe.runIf(databases.includes('postgres'))('the functions of schema earshot', () => {
  // https://github.com/okbob/plpgsql_check: it plans each statement of a function against the
  // tables there are.
  test('name only tables, columns and functions that there are', async ({ skip }) => {
    await using held = await testDatabase('postgres')
    const { pool } = held.db
    const offered = await pool.query(
      `select from pg_available_extensions where name = 'plpgsql_check'`,
    )
    if (offered.rowCount === 0) skip('the server has no plpgsql_check')
    await pool.query('create extension plpgsql_check')
    // Proves that the check looks: this one must be found, and no other.
    await pool.query(`create function earshot.broken() returns int language plpgsql as
      $$ begin return (select nothing from earshot.jobs limit 1); end $$`)
    const { rows } = await pool.query<Finding>(`
      select p.proname as function, c.lineno as line, c.message
      from pg_proc p join pg_language l on l.oid = p.prolang,
        lateral plpgsql_check_function_tb(p.oid, fatal_errors => false, extra_warnings => false,
          performance_warnings => false, other_warnings => false) c
      where l.lanname = 'plpgsql' and p.pronamespace = 'earshot'::regnamespace
        and p.prorettype <> 'trigger'::regtype and c.level = 'error'
      order by 1, 2`)
    expect(rows.map((row) => row.function)).toEqual(['broken'])
  })

  test('set their search_path where they run with the rights of their owner', async () => {
    await using held = await testDatabase('postgres')
    const { rows } = await held.db.pool.query<{ function: string }>(`
      select p.proname as function from pg_proc p
      where p.pronamespace = 'earshot'::regnamespace and p.prosecdef
        and not exists (select from unnest(p.proconfig) c where c like 'search_path=%')`)
    expect(rows).toEqual([])
  })
})
