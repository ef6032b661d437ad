import type pg from 'pg'

export type SslMode = 'disable' | 'require' | 'verify-ca' | 'verify-full'

export type DatabaseSettings = {
  /** `postgresql://…`; without it the embedded database under `home` is used. */
  url?: string | undefined
  /** Address for LISTEN when `url` goes through a transaction pooler. */
  directUrl?: string | undefined
  /** Wins over the `sslmode` in the address. */
  sslmode?: SslMode | undefined
  /** PEM file with the certificate authority; wins over `sslrootcert` in the address. */
  caFile?: string | undefined
  /** Connections at most; 10 by default. The embedded database has 4, whatever this says. */
  poolSize?: number | undefined
  /** Seconds after which an unused connection is closed; 30 by default. */
  idleTimeoutS?: number | undefined
  /** Seconds after which a connection is replaced; 1800 by default. */
  maxLifetimeS?: number | undefined
  /**
   * Seconds to wait for a connection, or for a free one; 10 by default, 60 on the embedded
   * database.
   */
  connectTimeoutS?: number | undefined
  /** Seconds a transaction may sit idle before it is rolled back; 60 by default. */
  idleInTransactionS?: number | undefined
  /**
   * Embedded only: seconds one statement may take before the engine is ended and opened again; 300
   * by default.
   */
  watchdogS?: number | undefined
  /** EARSHOT_HOME; the embedded database lives in `home/db`. */
  home: string
}

export type ListenerState = 'listening' | 'reconnecting' | 'pooled'

export type Listener = {
  /**
   * `pooled`: a transaction pooler swallows LISTEN (EARSHOT_POOLED was logged), nothing will be
   * heard. Whatever the state, the caller's slow poll is what guarantees progress.
   */
  readonly state: ListenerState
  /** How often it connected: 1 unless a connection was lost. */
  readonly connects: number
  /** monotonicMs() of the last probe that was heard; null before the first. */
  readonly provedAt: number | null
  /** Stops listening and closes the connection. */
  close(): Promise<void>
}

export type Database = {
  /** An ordinary node-postgres pool. */
  pool: pg.Pool
  /** True for PGlite in this process; db/embedded/differences.ts lists what differs. */
  embedded: boolean
  /**
   * Runs `work` between begin and commit on one connection; rolls back when it throws. Inside it
   * only `client` may be used: a pool query in the same flow is refused at once, on both databases.
   */
  transaction<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T>
  /**
   * Hears NOTIFY on the channels, reconnecting forever; `onMissed` runs after every (re)connect.
   * Never rejects.
   */
  listen(
    channels: Record<string, (payload: string) => void>,
    onMissed: () => void | Promise<void>,
  ): Promise<Listener>
  /**
   * A connection of one's own, not connected yet, to the direct address where there is one; who
   * asks for it ends it.
   */
  direct(): pg.Client
  /** Waits for the work in hand, then closes every connection (and the embedded engine). */
  close(): Promise<void>
}
