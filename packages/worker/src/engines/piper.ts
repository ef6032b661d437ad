import { access, readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { EarshotError } from '@earshot/contract'
import { toWav } from '../audio/to-wav.ts'
import type { EngineReport, Programs, TextToSpeech } from './engine.ts'
import { reportOf } from './probe.ts'
import { endedBadly, runProgram, speakingLimitS } from '../process/run-program.ts'
import { inFolder } from '../process/scratch.ts'

const LIMITS = { cpuS: 3_600, fileBytes: 2 ** 31 }

/** Where voices of Piper lie: `en_US-lessac-medium.onnx`, with its `.onnx.json` beside it. */
export const piperFolder = (home: string): string => path.join(home, 'models', 'piper')

/**
 * Piper: neural voices that run on small boxes. Each voice is a pair of files in `models/piper`,
 * and a model of its own; without a voice there is no Piper.
 *
 * @example
 * await createPiper({ home }).speak({ text: 'Hello there.', voice: 'en_US-lessac-medium', out: '/tmp/hello.wav', signal })
 */
export function createPiper({
  programs = {},
  home,
}: { programs?: Programs; home?: string } = {}): TextToSpeech {
  const program = programs.piper ?? 'piper'

  /** Voices of which both files are there. */
  async function listVoices(): Promise<{ name: string; file: string; size: number }[]> {
    if (home === undefined) return []
    const names = (await readdir(piperFolder(home)).catch(() => []))
      .filter((name) => name.endsWith('.onnx'))
      .sort()
    return (
      await Promise.all(
        names.map(async (name) => {
          const file = path.join(piperFolder(home), name)
          const whole = await access(`${file}.json`).then(
            () => true,
            () => false,
          )
          return whole
            ? [{ name: name.slice(0, -'.onnx'.length), file, size: (await stat(file)).size }]
            : []
        }),
      )
    ).flat()
  }

  async function probe(signal?: AbortSignal): Promise<EngineReport> {
    if ((await listVoices()).length === 0)
      return { available: false, reason: 'There is no voice for Piper.', missing: 'piper' }
    return reportOf(
      async () => {
        const ended = await runProgram({ program, args: ['--help'], signal, quietLimitS: 60 })
        if (ended.code !== 0) throw endedBadly('piper', ended)
        return undefined
      },
      { missing: 'piper', broken: true },
    )
  }

  return {
    name: 'piper',
    kind: 'speak',
    changes: true,
    probe,
    models: async () =>
      (await listVoices()).map(({ name, size }) => ({ name, size_bytes: size, voices: [name] })),
    async speak({ text, voice, model, out, signal }) {
      const voices = await listVoices()
      const wanted = voice ?? model
      const chosen = wanted === undefined ? voices[0] : voices.find(({ name }) => name === wanted)
      if (chosen === undefined) {
        throw new EarshotError('EARSHOT_BAD_REQUEST', `There is no voice "${wanted ?? ''}".`, {
          field: 'voice',
          hint: `Voices on this node: ${voices.map(({ name }) => name).join(', ')}.`,
        })
      }
      if (!/[\p{L}\p{N}]/u.test(text))
        throw new EarshotError('EARSHOT_BAD_REQUEST', 'The text has no word that can be spoken.', {
          field: 'text',
        })
      return inFolder('speak', async (dir) => {
        const spoken = path.join(dir, 'spoken.wav')
        // A line is an utterance to Piper, and each would overwrite the one before.
        const input = `${text.replace(/\s+/g, ' ').trim()}\n`
        const ended = await runProgram({
          program,
          args: ['--model', chosen.file, '--output_file', spoken],
          input,
          signal,
          quietLimitS: speakingLimitS(text),
          limits: LIMITS,
        })
        if (ended.code !== 0) throw endedBadly('piper', ended)
        return toWav({ file: spoken, out, signal, who: 'Piper' })
      })
    },
  }
}
