import { readFile } from 'node:fs/promises'

/** What tells this start of the machine from others; null where the system has no such id. */
export async function readBootId(): Promise<string | null> {
  try {
    return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
  } catch {
    // Only Linux has it.
    return null
  }
}
