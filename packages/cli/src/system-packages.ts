import { isRoot, which } from '@earshot/shared/platform'

/**
 * The packages that bring a program. The launcher has the same table, since it must run before this
 * file can (on an old Node). Only the apt names were ever tried.
 */
const PACKAGES: Record<string, Partial<Record<Manager, string[]>>> = {
  ffmpeg: {
    'apt-get': ['ffmpeg'],
    dnf: ['ffmpeg-free'],
    brew: ['ffmpeg'],
    winget: ['Gyan.FFmpeg'],
  },
  pocketsphinx: {
    'apt-get': ['pocketsphinx', 'pocketsphinx-en-us'],
    dnf: ['pocketsphinx', 'pocketsphinx-models'],
    brew: ['cmu-pocketsphinx'],
  },
  'espeak-ng': {
    'apt-get': ['espeak-ng'],
    dnf: ['espeak-ng'],
    brew: ['espeak-ng'],
    winget: ['eSpeak-NG.eSpeak-NG'],
  },
  flite: { 'apt-get': ['flite'], dnf: ['flite'], brew: ['flite'] },
  inotifywait: { 'apt-get': ['inotify-tools'], dnf: ['inotify-tools'] },
}

type Manager = 'apt-get' | 'dnf' | 'brew' | 'winget'
const CALLS: Record<Manager, { args: string[]; needsRoot: boolean }> = {
  'apt-get': { args: ['install', '-y', '--no-install-recommends'], needsRoot: true },
  dnf: { args: ['install', '-y'], needsRoot: true },
  brew: { args: ['install'], needsRoot: false },
  winget: { args: ['install', '--exact', '--id'], needsRoot: false },
}

/**
 * The one command that installs programs on this machine, to be shown to a person; null where the
 * package manager or its name for them is not known.
 *
 * @param searchPath the PATH to look for the package manager in
 * @example
 * await installCommand(['flite'], '/usr/bin')   // 'sudo apt-get install -y --no-install-recommends flite'
 */
export async function installCommand(
  programs: readonly string[],
  searchPath: string,
): Promise<string | null> {
  for (const manager of Object.keys(CALLS) as Manager[]) {
    if ((await which(manager, searchPath)) === null) continue
    const packages = programs.flatMap((program) => PACKAGES[program]?.[manager] ?? [])
    if (packages.length === 0) return null
    const { args, needsRoot } = CALLS[manager]
    const sudo = needsRoot && !isRoot() && (await which('sudo', searchPath)) !== null
    return [...(sudo ? ['sudo'] : []), manager, ...args, ...packages].join(' ')
  }
  return null
}
