import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { z } from 'zod'
import type { EngineKind } from './engine.ts'

const Chosen = z.partialRecord(z.enum(['transcribe', 'speak', 'embed', 'generate']), z.string())
const fileOf = (home: string) => path.join(home, 'models', 'use.json')

/**
 * The models that someone chose as this box's defaults; a file that cannot be read says nothing.
 */
export async function readChosen(home: string): Promise<Partial<Record<EngineKind, string>>> {
  try {
    return Chosen.parse(JSON.parse(await readFile(fileOf(home), 'utf8')))
  } catch {
    return {}
  }
}

/** Chooses a model as the default of a kind; written beside and renamed. */
export async function choose(home: string, kind: EngineKind, model: string): Promise<void> {
  const file = fileOf(home)
  await mkdir(path.dirname(file), { recursive: true })
  await writeFile(
    `${file}.${process.pid}.part`,
    `${JSON.stringify({ ...(await readChosen(home)), [kind]: model }, null, 2)}\n`,
  )
  await rename(`${file}.${process.pid}.part`, file)
}
