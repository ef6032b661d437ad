import os from 'node:os'
import { createClient, type Client } from '@earshot/sdk'
import { loadConfig, type Config } from '@earshot/shared/config'
import { createLog, type Log } from '@earshot/shared/log'
import { nodeId } from './node-id.ts'
import { createOutput, type Output } from './output.ts'
import { readSettingsFiles } from './settings-files.ts'
import type { Interrupts, Surroundings } from './surroundings.ts'

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
export function createContext(surroundings: Surroundings, options: { flags: Flags; configFile?: string; json: boolean; joins: boolean }): Context {
  const { cwd, env, stdout, stderr, interrupts } = surroundings
  const config = loadConfig({
    flags: options.flags,
    env,
    files: readSettingsFiles(cwd, options.configFile),
    cwd,
    machine: {
      hostname: os.hostname(),
      homeFolder: os.homedir(),
      cores: os.availableParallelism(),
      nodeId: (home) => nodeId(home, os.hostname(), options.joins),
    },
  })
  const noColor = Boolean(env.NO_COLOR)
  const log = createLog({
    level: config.log.level,
    destination: stderr,
    human: Boolean(stderr.isTTY),
    colours: Boolean(stderr.isTTY) && !noColor,
    secrets: [config.key ?? undefined, ...[config.database.url, config.database.directUrl].flatMap(passwordsOf)],
  })
  return {
    config,
    client: createClient({ url: config.url, key: config.key ?? undefined }),
    output: createOutput(stdout, stderr, { json: options.json, noColor }),
    log,
    interrupts,
    surroundings,
  }
}

/** The password of an address, as it is written there and as it is meant. */
function passwordsOf(address: string | undefined): string[] {
  const password = address === undefined ? '' : new URL(address).password
  return password === '' ? [] : [password, decodeURIComponent(password)]
}
