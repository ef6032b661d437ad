import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'

const fileOf = (home: string): string => path.join(home, 'url')

/** Writes down where the mesh of this folder answers, for commands that are told no address. */
export function noteAddress(home: string, url: string): void {
  mkdirSync(home, { recursive: true, mode: 0o700 })
  writeFileSync(fileOf(home), `${url}\n`, { mode: 0o600 })
}

/** Forgets it, when the mesh stops. */
export function forgetAddress(home: string): void {
  rmSync(fileOf(home), { force: true })
}

/** Where the mesh of this folder answers; undefined when none runs here, or none that said so. */
export function notedAddress(home: string): string | undefined {
  try {
    const url = readFileSync(fileOf(home), 'utf8').trim()
    return URL.canParse(url) ? url : undefined
  } catch {
    // There is none, or it is another user's.
    return undefined
  }
}
