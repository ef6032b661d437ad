import os from 'node:os'
import type { ConfigSources } from '../config.ts'
import { nodeId } from './node-id.ts'

/**
 * What this machine says, for settings that no one gave. `keepId`: whether an id that is drawn is
 * written down; see {@link nodeId}.
 */
export function thisMachine(keepId: boolean): ConfigSources['machine'] {
  return {
    hostname: os.hostname(),
    homeFolder: os.homedir(),
    cores: os.availableParallelism(),
    nodeId: (home) => nodeId(home, os.hostname(), keepId),
  }
}
