import { createRequire } from 'node:module'
import path from 'node:path'
import { findHardware } from '@earshot/shared/platform'
import type { WhisperBuild } from './whisper-process.ts'

export type FoundBuild = {
  build: WhisperBuild
  native: string
  /** What would be faster here, and how to get it. */ note?: string
}

/**
 * The build of whisper.cpp for this machine: by its GPU and what is installed, or the one that was
 * asked for. One that was chosen and does not work is not replaced by a slower one in silence.
 *
 * @param home packages for GPUs are looked for in `engines` there, and beside this program
 * @returns a sentence where there is none
 */
export async function findBuild({
  home,
  wanted,
}: {
  home: string
  wanted?: WhisperBuild | undefined
}): Promise<FoundBuild | string> {
  const onMac = process.platform === 'darwin'
  const plain: WhisperBuild = onMac && process.arch === 'arm64' ? 'metal' : 'cpu'
  // Metal and CPU are one package.
  const packageOf = (build: WhisperBuild) =>
    `@fugood/node-whisper-${process.platform}-${process.arch}${build === 'cuda' || build === 'vulkan' ? `-${build}` : ''}`
  const found = (build: WhisperBuild) => resolveFrom(packageOf(build), home)
  const install = (build: WhisperBuild) =>
    `npm install --prefix ${path.join(home, 'engines')} ${packageOf(build)}`

  if (wanted !== undefined) {
    const native = found(wanted)
    return native === undefined
      ? `The ${wanted} build of whisper.cpp is not installed. Run: ${install(wanted)}`
      : { build: wanted, native }
  }
  const nvidia = !onMac && (await findHardware()).gpus.length > 0
  for (const build of [...(nvidia ? ['cuda' as const] : []), 'vulkan' as const]) {
    const native = onMac ? undefined : found(build)
    if (native !== undefined) return { build, native }
  }
  const native = found(plain)
  if (native === undefined)
    return `whisper.cpp is not installed for ${process.platform} ${process.arch}. Run: ${install(plain)}`
  return {
    build: plain,
    native,
    ...(nvidia
      ? {
          note: `An NVIDIA GPU is here, but whisper.cpp runs on the processor. To use the GPU: ${install('cuda')}`,
        }
      : {}),
  }
}

/**
 * The file of a package that someone installed into `engines` of EARSHOT_HOME, or beside this
 * program.
 */
export function resolveFrom(name: string, home: string): string | undefined {
  for (const from of [path.join(home, 'engines', 'package.json'), import.meta.url]) {
    try {
      return createRequire(from).resolve(name)
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw err
    }
  }
  return undefined
}
