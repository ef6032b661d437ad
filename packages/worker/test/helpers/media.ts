import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { EarshotError, type ErrorCode } from '@earshot/contract'
import { afterAll } from 'vitest'

const run = promisify(execFile)

/** A folder that is gone after the file's tests. */
export async function tempFolder(): Promise<string> {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'earshot worker '))
  afterAll(() => rm(dir, { recursive: true, force: true }))
  return dir
}

/** Makes media with ffmpeg; the last argument is the file. */
export async function makeMedia(...args: string[]): Promise<string> {
  const file = args.at(-1) ?? ''
  await run('ffmpeg', ['-v', 'error', '-nostdin', '-y', ...args.slice(0, -1), `file:${file}`])
  return file
}

/** `seconds` of a tone, as ffmpeg's input. */
export const tone = (seconds: number): string[] => [
  '-f',
  'lavfi',
  '-i',
  `sine=frequency=440:duration=${seconds}`,
]

/** `seconds` of silence, as ffmpeg's input. */
export const silence = (seconds: number): string[] => [
  '-f',
  'lavfi',
  '-i',
  `anullsrc=sample_rate=16000:channel_layout=mono:duration=${seconds}`,
]

/** The error a promise fails with; fails itself when there is none or it is not ours. */
export async function errorOf(
  promise: Promise<unknown>,
): Promise<{ code: ErrorCode; message: string; hint: string | undefined }> {
  try {
    await promise
  } catch (err) {
    if (err instanceof EarshotError) return { code: err.code, message: err.message, hint: err.hint }
    throw err
  }
  throw new Error('Expected an error; there was none.')
}
