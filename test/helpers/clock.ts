import { glob, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** The clock of programs that are started with `env`, which a test may set. */
export type SettableClock = {
  env: Record<string, string>
  /** Sets it so many seconds ahead of the machine's; a negative number sets it back. */
  set(aheadS: number): Promise<void>
}

const PLACES = [
  '/usr/lib/*/faketime/libfaketime.so.1',
  '/usr/lib{,64}/faketime/libfaketime.so.1',
  '/usr/local/lib/faketime/libfaketime.so.1',
]

/**
 * A clock that can be set, through libfaketime; undefined where that is not on this machine.
 * Monotonic clocks and the times of files stay true, as they do when someone sets a machine's
 * clock.
 *
 * @param folder where its state is kept; the programs must be able to read it
 * @example
 * const clock = await createSettableClock(folder)
 * await clock?.set(-3600) // an hour back
 */
export async function createSettableClock(folder: string): Promise<SettableClock | undefined> {
  let library: string | undefined
  for await (const found of glob(PLACES)) library ??= found
  if (library === undefined) return undefined
  const file = join(folder, 'clock')
  async function set(aheadS: number): Promise<void> {
    // Renamed into place: a program that reads a half-written file would get another time.
    await writeFile(`${file}.new`, `${aheadS < 0 ? '' : '+'}${aheadS}\n`, { mode: 0o644 })
    await rename(`${file}.new`, file)
  }
  await set(0)
  const env = {
    LD_PRELOAD: library,
    FAKETIME_TIMESTAMP_FILE: file,
    FAKETIME_NO_CACHE: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
    NO_FAKE_STAT: '1',
  }
  return { env, set }
}
