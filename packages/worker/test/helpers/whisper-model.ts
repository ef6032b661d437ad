import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { whisperFolder } from '../../src/engines/whisper-models.ts'

const ENGLISH_ONLY = 51_864
const MULTILINGUAL = 51_865
/** Tokens that whisper.cpp looks up by name; without them it fails in the middle of its work. */
const NEEDED = [' ', ' -', " '"]

/**
 * Writes a model file that whisper.cpp takes for "empty model for testing": header, mel filters and
 * vocabulary, no tensors. With it all of its code runs, and hears nothing.
 *
 * @param options.vocabulary whether it has the tokens that are needed
 * @returns the file
 */
export async function writeEmptyModel(
  home: string,
  name = 'empty.en',
  { multilingual = false, vocabulary = true } = {},
): Promise<string> {
  const words = multilingual ? MULTILINGUAL : ENGLISH_ONLY
  const int = (...values: number[]) => Buffer.from(Int32Array.from(values).buffer)
  const [state, heads, layers, mels] = [8, 1, 4, 80]
  const token = (text: string) => [int(Buffer.byteLength(text)), Buffer.from(text)]
  const tokens = Array.from({ length: words }, (_, i) =>
    token((vocabulary ? NEEDED[i] : undefined) ?? `w${i}`),
  )
  const file = path.join(whisperFolder(home), `ggml-${name}.bin`)
  await mkdir(path.dirname(file), { recursive: true })
  await writeFile(
    file,
    Buffer.concat([
      int(0x67676d6c, words, 1500, state, heads, layers, 448, state, heads, layers, mels, 1),
      int(mels, 201),
      Buffer.alloc(mels * 201 * 4),
      int(words),
      ...tokens.flat(),
    ]),
  )
  return file
}
