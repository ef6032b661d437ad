import { createClient, type Client } from '@earshot/sdk'
import { loadConfig, type Config } from '@earshot/shared/config'
import { readSettingsFiles } from '@earshot/shared/config/files'
import { thisMachine } from '@earshot/shared/config/machine'
import { secretsOf } from '@earshot/shared/config/secrets'
import type { Interrupts } from '@earshot/shared/interrupts'
import { createLog, type Log } from '@earshot/shared/log'
import { createOutput, type Output } from './output.ts'
import { notedAddress } from './running-mesh.ts'
import type { Surroundings } from './surroundings.ts'

/** What a command works with. */
export type Context = {
  config: Config
  /** Speaks to the mesh at EARSHOT_URL. */
  client: Client
  output: Output
  log: Log
  interrupts: Interrupts
  surroundings: Surroundings
}

export type Flags = Record<string, string | readonly string[] | undefined>

/**
 * Reads the settings and prepares what a command needs.
 *
 * @param joins whether the command becomes a part of the mesh, and so needs an id that lasts
 * @throws EarshotError EARSHOT_BAD_CONFIG
 */
export function createContext(
  surroundings: Surroundings,
  options: { flags: Flags; configFile?: string; json: boolean; joins: boolean },
): Context {
  const { cwd, env, stdout, stderr, interrupts } = surroundings
  const loaded = loadConfig({
    flags: options.flags,
    env,
    files: readSettingsFiles(cwd, options.configFile),
    cwd,
    machine: thisMachine(options.joins),
  })
  const config = loaded.isUrlGiven
    ? loaded
    : { ...loaded, url: notedAddress(loaded.home) ?? loaded.url }
  const noColor = Boolean(env.NO_COLOR)
  const log = createLog({
    level: config.log.level,
    destination: stderr,
    human: Boolean(stderr.isTTY),
    colours: Boolean(stderr.isTTY) && !noColor,
    secrets: secretsOf(config),
  })
  for (const warning of config.warnings) log.warn(warning)
  return {
    config,
    client: createClient({ url: config.url, key: config.key ?? undefined }),
    output: createOutput(stdout, stderr, { json: options.json, noColor }),
    log,
    interrupts,
    surroundings,
  }
}
