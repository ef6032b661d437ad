import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { EarshotError } from '@earshot/contract'
import type { ConfigFile } from './read.ts'

/**
 * Reads `.env` and `config.yaml` of the working folder where they exist; `chosen` (`--config FILE`)
 * takes the place of the latter and must exist.
 *
 * @throws EarshotError EARSHOT_BAD_CONFIG when a file is there but cannot be read.
 */
export function readSettingsFiles(
  cwd: string,
  chosen: string | undefined,
): { yaml?: ConfigFile; dotenv?: ConfigFile } {
  const yaml =
    chosen === undefined
      ? readIfThere(path.join(cwd, 'config.yaml'))
      : read(path.resolve(cwd, chosen))
  const dotenv = readIfThere(path.join(cwd, '.env'))
  return { ...(yaml === undefined ? {} : { yaml }), ...(dotenv === undefined ? {} : { dotenv }) }
}

const readIfThere = (file: string) => (existsSync(file) ? read(file) : undefined)

function read(file: string): ConfigFile {
  try {
    return { path: file, text: decode(readFileSync(file)) }
  } catch (cause) {
    const reason =
      (cause as NodeJS.ErrnoException).code === 'ENOENT'
        ? 'there is no such file'
        : (cause as Error).message
    throw new EarshotError(
      'EARSHOT_BAD_CONFIG',
      `The settings file ${file} cannot be read: ${reason}.`,
      { field: '--config', cause },
    )
  }
}

/**
 * Windows' editors put a mark at the front of UTF-8, and its PowerShell writes UTF-16: read as
 * plain UTF-8, the first line or all would count as not there.
 */
function decode(bytes: Buffer): string {
  const mark = bytes.length < 2 ? 0 : bytes.readUInt16BE(0)
  const encoding = mark === 0xfffe ? 'utf-16le' : mark === 0xfeff ? 'utf-16be' : 'utf-8'
  return new TextDecoder(encoding).decode(bytes)
}
