import { EarshotError } from '@earshot/contract'
import { loadConfig } from '@earshot/shared/config'
import { readSettingsFiles } from '@earshot/shared/config/files'
import { thisMachine } from '@earshot/shared/config/machine'
import { secretsOf, takeEnvironment } from '@earshot/shared/config/secrets'
import { onSignals } from '@earshot/shared/interrupts'
import { createLog, type LogLevel } from '@earshot/shared/log'
import { serve } from '@earshot/shared/serve'
import { findEngines } from './engines/find.ts'
import { engineOptions } from './engines/index.ts'
import type { HandledKind } from './handle.ts'
import { createWorker } from './worker.ts'

/**
 * What is not given here is read from the environment and `.env`, under the names of
 * docs/configuration.md.
 */
export type RunWorkerOptions = {
  kinds: readonly HandledKind[]
  /** Also offer the built-in kinds whose engines work on this machine. */
  builtIn?: boolean
  /** The PostgreSQL that the mesh shares (DATABASE_URL). */
  databaseUrl?: string
  /** The mesh key (EARSHOT_KEY). */
  key?: string
  /** This node's id (NODE_ID); of two running workers with one id the newer wins. */
  id?: string
  /** Jobs at once, of each role or by role; the number of cores unless told otherwise. */
  slots?: number | Record<string, number>
  /** Facts about this node that jobs may require, added to those found. */
  tags?: Record<string, string | number | boolean>
  /**
   * Folder for this node's id and its jobs' own folders (EARSHOT_HOME); ./.earshot unless told
   * otherwise.
   */
  home?: string
  /** A settings file such as config.yaml. */
  configFile?: string
  logLevel?: LogLevel
}

/**
 * Runs a worker of your own as this program: joins the mesh with your kinds, works until it is told
 * to stop, and leaves. It owns the process meanwhile: the first Ctrl-C or SIGTERM takes nothing
 * more and finishes what is in hand for up to 30 s, the second hands it back at once, the third
 * ends the process on the spot. The log goes to standard error.
 *
 * @throws EarshotError EARSHOT_BAD_CONFIG, EARSHOT_DATABASE_NEEDED, EARSHOT_DATABASE,
 *   EARSHOT_SCHEMA_MISSING, EARSHOT_BAD_REQUEST (a kind that the mesh refuses), EARSHOT_REPLACED
 * @example
 * await runWorker({ kinds: [handle(thumbnail, async ({ image, width }) => shrink(image, width))] })
 */
export async function runWorker({
  kinds,
  builtIn = false,
  ...given
}: RunWorkerOptions): Promise<void> {
  const interrupts = onSignals(process)
  // Engines run programs of others, which have no business with the secrets; a user's own handlers
  // may need their environment whole.
  const env = builtIn ? takeEnvironment(process.env) : { ...process.env }
  const config = configure(given, env)
  if (config.database.url === undefined) {
    throw new EarshotError(
      'EARSHOT_DATABASE_NEEDED',
      'A worker needs DATABASE_URL, the PostgreSQL server that the mesh shares.',
      { field: 'DATABASE_URL' },
    )
  }
  const { stderr } = process
  const human = Boolean(stderr.isTTY)
  const log = createLog({
    level: config.log.level,
    destination: stderr,
    human,
    colours: human && !env.NO_COLOR,
    secrets: secretsOf(config),
  })
  for (const warning of config.warnings) log.warn(warning)
  await serve(
    { database: config.database, log, interrupts, note: (line) => log.info(line) },
    {
      migrates: false,
      compose: async (db) => ({
        services: [
          createWorker({
            db,
            config,
            log,
            kinds,
            ...(builtIn ? { engines: await findEngines(undefined, engineOptions(config)) } : {}),
          }),
        ],
        announce: () => {},
      }),
    },
  )
}

/** As the command reads its settings, what was given in the place of its flags. */
function configure(
  { databaseUrl, key, configFile, ...given }: Omit<RunWorkerOptions, 'kinds' | 'builtIn'>,
  env: Record<string, string | undefined>,
) {
  const { dotenv, yaml } = readSettingsFiles(process.cwd(), configFile)
  const pairs = (values: Record<string, unknown>) =>
    Object.entries(values).map(([name, value]) => `${name}=${String(value)}`)
  const { slots, tags } = given
  return loadConfig({
    flags: {
      'node-id': given.id,
      home: given.home,
      slots: slots === undefined || typeof slots === 'number' ? slots?.toString() : pairs(slots),
      tags: tags === undefined ? undefined : pairs(tags),
      'log-level': given.logLevel,
    },
    env: {
      ...env,
      ...(databaseUrl === undefined ? {} : { DATABASE_URL: databaseUrl }),
      ...(key === undefined ? {} : { EARSHOT_KEY: key }),
    },
    // A config.yaml that no one named may be another program's.
    files: {
      ...(dotenv === undefined ? {} : { dotenv }),
      ...(yaml === undefined || configFile === undefined ? {} : { yaml }),
    },
    cwd: process.cwd(),
    machine: thisMachine(true),
  })
}
