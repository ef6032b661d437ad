import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { EarshotError } from '../contract/errors.ts'
import type { ConfigFile } from './read.ts'

/**
 * Reads `.env` and `config.yaml` of the working folder where they exist; `chosen` (`--config FILE`) takes the place of the
 * latter and must exist.
 *
 * @throws EarshotError EARSHOT_BAD_CONFIG when a file is there but cannot be read.
 */
export function readSettingsFiles(cwd: string, chosen: string | undefined): { yaml?: ConfigFile; dotenv?: ConfigFile } {
  const yaml = chosen === undefined ? readIfThere(path.join(cwd, 'config.yaml')) : read(path.resolve(cwd, chosen))
  const dotenv = readIfThere(path.join(cwd, '.env'))
  return { ...(yaml === undefined ? {} : { yaml }), ...(dotenv === undefined ? {} : { dotenv }) }
}

const readIfThere = (file: string) => (existsSync(file) ? read(file) : undefined)

function read(file: string): ConfigFile {
  try {
    return { path: file, text: readFileSync(file, 'utf8') }
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file' : (cause as Error).message
    throw new EarshotError('EARSHOT_BAD_CONFIG', `The settings file ${file} cannot be read: ${reason}.`, { field: '--config', cause })
  }
}
