import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { lstat, readFile, readdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { wavHeader } from '../../packages/worker/src/audio/wav.ts'

const execute = promisify(execFile)

/** Runs ffmpeg with these arguments; the last one is the file it makes. */
export const ffmpeg = (...args: string[]): Promise<unknown> =>
  execute('ffmpeg', ['-nostdin', '-loglevel', 'error', '-y', ...args])

/** Silence in about 15 kB an hour: long frames of FLAC. */
export async function makeSilence(file: string, seconds: number): Promise<string> {
  await ffmpeg(
    '-f',
    'lavfi',
    '-i',
    'anullsrc=r=8000:cl=mono',
    '-t',
    String(seconds),
    '-c:a',
    'flac',
    '-frame_size',
    '65535',
    file,
  )
  return file
}

/**
 * A WAV file of so many samples of silence (16 kHz, mono): each number is another content, and none
 * takes time to hear.
 */
export const silentWav = (samples: number): Buffer =>
  Buffer.concat([wavHeader(samples * 2), Buffer.alloc(samples * 2)])

/** An mp4 whose end, where its index stands, never came. */
export async function makeTruncatedMp4(file: string): Promise<void> {
  await ffmpeg('-f', 'lavfi', '-i', 'sine=f=300:d=3', '-c:a', 'aac', file)
  const whole = await readFile(file)
  await writeFile(file, whole.subarray(0, whole.length / 2))
}

type Slow = { pieces: number; pauseMs: number; allocate?: boolean }

/**
 * A process of its own copies a file in pieces with a pause between them, into one file that it
 * keeps open; `allocate` gives that its full size at once.
 */
export async function copySlowly(
  source: string,
  file: string,
  { pieces, pauseMs, allocate = false }: Slow,
): Promise<void> {
  const script = `
    const { open, readFile } = require('node:fs/promises')
    const { execFileSync } = require('node:child_process')
    void (async () => {
      const [source, file, pieces, pauseMs, allocate] = process.argv.slice(1)
      const content = await readFile(source)
      const handle = await open(file, 'w')
      if (allocate === 'true') execFileSync('fallocate', ['-l', String(content.length), '/dev/fd/3'], { stdio: ['ignore', 'inherit', 'inherit', handle.fd] })
      const size = Math.ceil(content.length / pieces)
      for (let at = 0; at < content.length; at += size) {
        if (at > 0) await new Promise((resolve) => setTimeout(resolve, Number(pauseMs)))
        await handle.write(content, at, Math.min(size, content.length - at), at)
      }
      await handle.close()
    })()`
  await execute(process.execPath, [
    '-e',
    script,
    '--',
    source,
    file,
    String(pieces),
    String(pauseMs),
    String(allocate),
  ])
}

/**
 * What must not change of all that lies below a folder: kind, size, time of change and content, by
 * path.
 */
export async function photograph(folder: string): Promise<Map<string, string>> {
  const seen = new Map<string, string>()
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const file = path.join(entry.parentPath, entry.name)
    const { mode, mtimeNs, size, ino } = await lstat(file, { bigint: true })
    const content = entry.isFile()
      ? createHash('sha256')
          .update(await readFile(file))
          .digest('hex')
      : ''
    seen.set(
      path.relative(folder, file),
      [mode, entry.isDirectory() ? '' : mtimeNs, size, ino, content].join(' '),
    )
  }
  return seen
}
