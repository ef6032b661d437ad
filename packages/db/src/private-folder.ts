import { chmod, mkdir } from 'node:fs/promises'
import type { Logger as Log } from 'pino'

/**
 * Makes a folder that only this user may enter, and closes one that was open to others. It closes
 * the folder and not its files: behind a closed folder no one reaches them. A folder of another
 * user, or on a disk without rights, stays as it is, with a warning. Throws what the file system
 * says.
 *
 * @example
 * await privateFolder('/var/lib/earshot', log)
 */
export async function privateFolder(folder: string, log?: Log): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  try {
    await chmod(folder, 0o700)
  } catch (err) {
    if (!['EPERM', 'ENOTSUP', 'EROFS'].includes((err as NodeJS.ErrnoException).code ?? ''))
      throw err
    log?.warn(
      { err, folder },
      `Other users may read ${folder}: its rights cannot be changed. Run chmod 700 on it.`,
    )
  }
}
