/**
 * What the set-up of a run tells its tests about a kind of database: where its migrated template
 * is, or why there is none.
 */
export type Template = { at: string } | { fault: string }

/** The database on the server that every test database is copied from. */
export const TEMPLATE = 'earshot_template'

declare module 'vitest' {
  interface ProvidedContext {
    /**
     * postgres: a URL of the server's administrator; embedded: a home with a migrated database;
     * folder: of this run.
     */
    databases: { postgres: Template; embedded: Template; folder: string }
    /** False where someone chose to test without a server. */
    testsServer: boolean
  }
}
