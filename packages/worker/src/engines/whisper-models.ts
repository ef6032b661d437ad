import { open, readdir, stat } from 'node:fs/promises'
import path from 'node:path'

/**
 * A model of whisper.cpp on this machine. `multilingual`: it knows more than English, and can
 * translate.
 */
export type WhisperModel = { name: string; file: string; size: number; multilingual: boolean }

/**
 * Seconds without a sign of life after which whisper.cpp hangs. There is one after each window of
 * 30 s: with a large model (3 GB) that takes minutes on an old processor, with a small one seconds;
 * so does loading it from a slow disk.
 */
export const quietLimitOf = ({ size }: WhisperModel): number => 60 + Math.round((size / 1e9) * 180)

/** Where models of whisper.cpp lie. */
export const whisperFolder = (home: string): string => path.join(home, 'models', 'whisper')

const MAGIC = 0x67676d6c
/** Vocabularies of models that know English alone are smaller. */
const MULTILINGUAL = 51_865

/**
 * The models in the folder, by name: `ggml-base.en.bin` is `whisper-base.en`. Files that are none
 * are left out; so are those still being loaded down.
 *
 * @example
 * await listWhisperModels('/srv/mesh/.earshot') // [{ name: 'whisper-base.en', file: '/srv/mesh/.earshot/models/whisper/ggml-base.en.bin', … }]
 */
export async function listWhisperModels(home: string): Promise<WhisperModel[]> {
  const folder = whisperFolder(home)
  const names = await readdir(folder).catch(() => [])
  const models = await Promise.all(
    names
      .filter((name) => /^ggml-.+\.bin$/.test(name))
      .map(async (name): Promise<WhisperModel[]> => {
        const file = path.join(folder, name)
        const header = await readHeader(file).catch(() => undefined)
        if (header === undefined || header.readUInt32LE(0) !== MAGIC) return []
        const { size } = await stat(file)
        return [
          {
            name: `whisper-${name.slice('ggml-'.length, -'.bin'.length)}`,
            file,
            size,
            multilingual: header.readInt32LE(4) >= MULTILINGUAL,
          },
        ]
      }),
  )
  return models.flat()
}

async function readHeader(file: string): Promise<Buffer | undefined> {
  const handle = await open(file)
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(8), 0, 8, 0)
    return bytesRead === 8 ? buffer : undefined
  } finally {
    await handle.close()
  }
}
