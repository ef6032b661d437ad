import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync } from 'node:fs'
import { createServer } from 'node:net'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { inject } from 'vitest'
import { COMPILE_CACHE } from '../../../../test/helpers/mesh.ts'

export const MAIN = path.resolve(import.meta.dirname, '../../src/main.ts')

export type Ran = { code: number | null; stdout: string; stderr: string }

/**
 * A fresh folder with a space in its name; it has no settings files, and goes when the tests are
 * over.
 */
export const emptyFolder = (): string =>
  mkdtempSync(path.join(inject('databases').folder, 'a folder '))

/** The tests' environment without anyone's own settings. */
export function environment(
  settings: Record<string, string> = {},
): Record<string, string | undefined> {
  const { PATH, HOME, TMPDIR } = process.env
  return {
    PATH,
    HOME,
    TMPDIR,
    EARSHOT_SELF_TEST: 'off',
    NODE_COMPILE_CACHE: COMPILE_CACHE,
    ...settings,
  }
}

/** Runs the command as a process of its own, from an empty folder unless told otherwise. */
export async function earshot(
  args: string[],
  { cwd = emptyFolder(), env = {} }: { cwd?: string; env?: Record<string, string> } = {},
): Promise<Ran> {
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd,
    env: environment(env),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close') as Promise<[number | null]>,
  ])
  return { code, stdout, stderr }
}

/** An address on this machine where no one answers: a port that was free a moment ago. */
export async function unusedAddress(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string')
    throw new Error('A listening server has an address.')
  return `http://127.0.0.1:${address.port}`
}
