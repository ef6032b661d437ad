import path from 'node:path'

/**
 * The module beside another one, for threads: under its own ending, since in the repository it is
 * TypeScript and in a package JavaScript.
 *
 * @example
 * new Worker(beside(import.meta.url, 'heartbeat-thread'))
 */
export function siblingModule(here: string, name: string): URL {
  return new URL(`./${name}${path.extname(new URL(here).pathname)}`, here)
}
