/** Text by its name; everything else is for the decoder to judge, which goes by content. */
export function kindOf(path: string): 'audio' | 'text' {
  return /\.txt$/i.test(path) ? 'text' : 'audio'
}

/** What people read of a file that this user may not read. */
export function unreadable(path: string): string {
  return `“${path}” cannot be read by the user that Earshot runs as. Give it read permission; it is then taken in by itself.`
}

/** What people read of a file over the limit; sizes in bytes. */
export function tooLarge(path: string, size: number, limit: number): string {
  const gb = (bytes: number) => `${Number((bytes / 1e9).toPrecision(3))} GB`
  return `“${path}” has ${gb(size)}, more than the limit of ${gb(limit)} (limits.max_media_gb), so it is not taken in.`
}

/** What was asked, or `forbidden` where this user lacks the permission; other errors are thrown. */
export async function orForbidden<T>(asked: Promise<T>): Promise<T | 'forbidden'> {
  try {
    return await asked
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'EACCES' || code === 'EPERM') return 'forbidden'
    throw error
  }
}
