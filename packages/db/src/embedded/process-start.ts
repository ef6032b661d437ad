import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/**
 * When the process with this id began, in words that only mean something compared with each other
 * on this machine; null when there is no such process. With it a process id that was given out
 * again is told from the old one. Windows has no cheap way to ask: there every live process looks
 * the same.
 */
export function processStart(
  pid: number,
  platform: NodeJS.Platform = process.platform,
): string | null {
  if (!isAlive(pid)) return null
  if (platform === 'linux') {
    try {
      // Field 22, counted after the program's name in brackets, which may itself hold blanks and
      // brackets.
      const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ')
      return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${fields?.[19]}`
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
      throw error
    }
  }
  if (platform === 'win32') return 'alive'
  return (
    execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim() || null
  )
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // EPERM: it lives, under another user.
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
