import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { EarshotError } from '@earshot/contract'
import { wavLength } from '../audio/to-wav.ts'
import type { Programs, TextToSpeech } from './engine.ts'
import { reportOf, versionOf } from './probe.ts'
import { endedBadly, runProgram, speakingLimitS } from '../process/run-program.ts'
import { inFolder } from '../process/scratch.ts'

const DEFAULT_VOICE = 'en-us'
const LIMITS = { memoryMb: 2048, cpuS: 600, fileBytes: 2 ** 31 }

/**
 * eSpeak NG: over a hundred languages, each in one voice that is understood rather than liked.
 * Voices are languages (`de`, `pt-br`), with a variant where one is wanted (`de+f2`).
 *
 * @example
 * await createEspeak().speak({ text: 'Guten Morgen.', voice: 'de', out: '/tmp/hello.wav', signal })
 */
export function createEspeak({ programs = {} }: { programs?: Programs } = {}): TextToSpeech {
  const program = programs['espeak-ng'] ?? 'espeak-ng'

  async function listVoices(signal?: AbortSignal): Promise<string[]> {
    const ended = await runProgram({ program, args: ['--voices'], signal, quietLimitS: 30 })
    const voices = ended.stdout
      .split('\n')
      .slice(1)
      .flatMap((line) => /^\s*\d+\s+(\S+)/.exec(line)?.[1] ?? [])
    if (ended.code !== 0 || voices.length === 0) throw endedBadly('espeak-ng', ended)
    return [...new Set(voices)]
  }

  return {
    name: 'espeak-ng',
    kind: 'speak',
    probe: (signal) =>
      reportOf(
        async () => {
          await listVoices(signal)
          return versionOf(program, /text-to-speech: ([\d.]+)/, signal)
        },
        { missing: 'espeak-ng' },
      ),
    models: async (signal) => [
      { name: 'espeak-ng', size_bytes: null, voices: await listVoices(signal) },
    ],
    async speak({ text, voice = DEFAULT_VOICE, out, signal }) {
      const [language = ''] = voice.split('+')
      const voices = await listVoices(signal)
      if (!voices.includes(language)) {
        throw new EarshotError('EARSHOT_BAD_REQUEST', `There is no voice "${voice}".`, {
          field: 'voice',
          hint: `Voices on this node: ${voices.join(', ')}.`,
        })
      }
      if (!/[\p{L}\p{N}]/u.test(text))
        throw new EarshotError('EARSHOT_BAD_REQUEST', 'The text has no word that can be spoken.', {
          field: 'text',
        })
      return inFolder('speak', async (dir) => {
        const source = path.join(dir, 'text.txt')
        await writeFile(source, `${text}\n`)
        const ended = await runProgram({
          program,
          args: ['-v', voice, '-b', '1', '-f', source, '-w', path.resolve(out)],
          signal,
          quietLimitS: speakingLimitS(text),
          limits: LIMITS,
        })
        const duration_s = ended.code === 0 ? await wavLength(out) : 0
        if (duration_s <= 0) throw endedBadly('espeak-ng', ended)
        return { duration_s }
      })
    },
  }
}
