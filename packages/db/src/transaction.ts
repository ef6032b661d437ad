import { AsyncLocalStorage } from 'node:async_hooks'
import type pg from 'pg'
import { EarshotError } from '@earshot/contract'
import { isUnanswered } from './pool.ts'

type Open = { open: boolean }

export type Transactions = {
  transaction<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T>
}

/**
 * Makes `transaction` for a pool, and makes the pool refuse to hand out a second connection to code
 * that runs inside one: on the embedded database it would wait forever, on a server it can, once
 * every connection is held that way.
 *
 * @param begin the SQL that begins one; {@link beginOnServer} for a server
 */
export function createTransactions(pool: pg.Pool, begin: string): Transactions {
  const flow = new AsyncLocalStorage<Open>()
  const connect = refuseInside(pool, flow)

  async function transaction<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    if (flow.getStore()?.open) throw insideTransaction()
    const client = await connect()
    const here: Open = { open: true }
    try {
      await client.query(begin)
      const result = await flow.run(here, () => work(client))
      await commit(client)
      client.release()
      return result
    } catch (err) {
      await rollBack(client, err)
      throw err
    } finally {
      here.open = false
    }
  }
  return { transaction }
}

/**
 * Begins a transaction that the server rolls back when it sits idle for longer than `idleS`
 * seconds. Its statements are not compiled: none runs for long, and the planner, whose costs of
 * many small subqueries are far too high, would have some compiled for a second and run for a
 * millisecond.
 */
export function beginOnServer(idleS: number): string {
  return `begin; set local idle_in_transaction_session_timeout = ${Math.round(idleS * 1000)}; set local jit = off`
}

async function commit(client: pg.PoolClient): Promise<void> {
  const { command } = await client.query('commit')
  if (command === 'COMMIT') return
  // PostgreSQL answers ROLLBACK, without an error, when a statement had failed before.
  throw new EarshotError(
    'EARSHOT_INTERNAL',
    'A transaction was rolled back: one of its statements failed unnoticed.',
  )
}

/**
 * A connection that cannot even roll back is closed, not returned to the pool; so is one that does
 * not answer.
 */
async function rollBack(client: pg.PoolClient, err: unknown): Promise<void> {
  const failure = isUnanswered(err)
    ? (err as Error)
    : await client.query('rollback').then(
        () => undefined,
        (err: Error) => err,
      )
  client.release(failure)
}

type Checkout = (
  err: Error | undefined,
  client: pg.PoolClient | undefined,
  done: (release?: unknown) => void,
) => void

/** Replaces `pool.connect`, which `pool.query` goes through too; returns the unguarded one. */
function refuseInside(pool: pg.Pool, flow: AsyncLocalStorage<Open>): () => Promise<pg.PoolClient> {
  const connect = pool.connect.bind(pool)
  function guarded(): Promise<pg.PoolClient>
  function guarded(callback: Checkout): void
  function guarded(callback?: Checkout): Promise<pg.PoolClient> | void {
    const refusal = flow.getStore()?.open ? insideTransaction() : undefined
    if (callback === undefined) return refusal ? Promise.reject(refusal) : connect()
    if (refusal) callback(refusal, undefined, () => {})
    else connect(callback)
  }
  pool.connect = guarded
  return connect
}

function insideTransaction(): EarshotError {
  return new EarshotError(
    'EARSHOT_INTERNAL',
    'The pool was asked for a connection inside an open transaction.',
    {
      hint: 'Inside transaction(work), use the client that work is given',
    },
  )
}
