import { readFile } from 'node:fs/promises'

export type Mount = { path: string; type: string }

/**
 * File systems whose files another machine, or a program behind FUSE, may write without this kernel
 * seeing it.
 */
const REMOTE = new Set([
  'nfs',
  'nfs4',
  'cifs',
  'smb3',
  'smbfs',
  'ncpfs',
  'afs',
  'ceph',
  '9p',
  'virtiofs',
  'vboxsf',
  'prl_fs',
  'glusterfs',
  'lustre',
  'gfs2',
  'ocfs2',
  'gpfs',
  'beegfs',
  'davfs',
  'coda',
  'orangefs',
  'drvfs',
  'autofs',
])

/**
 * The mounted file systems as the kernel lists them (proc(5), /proc/self/mountinfo), or null where
 * there is no such list: not Linux.
 */
export async function readMounts(file = '/proc/self/mountinfo'): Promise<Mount[] | null> {
  try {
    return parseMounts(await readFile(file, 'utf8'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

/**
 * Reads mountinfo: `36 35 98:0 / /mnt/nas rw,noatime shared:1 - cifs //nas/share rw`. Blanks in
 * paths stand as `\040`.
 */
export function parseMounts(text: string): Mount[] {
  return text.split('\n').flatMap((line) => {
    const [before, after] = line.split(' - ')
    const path = before?.split(' ')[4]
    const type = after?.split(' ')[0]
    if (path === undefined || type === undefined) return []
    return [
      {
        path: path.replace(/\\([0-7]{3})/g, (_, octal: string) =>
          String.fromCharCode(parseInt(octal, 8)),
        ),
        type,
      },
    ]
  })
}

/**
 * Whether a real path lies on a network mount. `fuseblk` (NTFS disks) is a local disk; every other
 * FUSE is taken for a network.
 *
 * @example
 * isRemote(mounts, '/mnt/nas/inbox/talk.mp3') // true
 */
export function isRemote(mounts: readonly Mount[], path: string): boolean {
  let best: Mount | undefined
  for (const mount of mounts) {
    const within = mount.path === '/' || path === mount.path || path.startsWith(`${mount.path}/`)
    // Of two on the same point the later covers the earlier.
    if (within && (best === undefined || mount.path.length >= best.path.length)) best = mount
  }
  if (best === undefined) return false
  return REMOTE.has(best.type) || best.type === 'fuse' || best.type.startsWith('fuse.')
}
