import { EarshotError, type TranscriptFormat } from '@earshot/contract'
import type { Context } from '../context.ts'
import { safe } from '../wording.ts'
import { noWords } from './no-words.ts'

/** `earshot transcript DOC`: prints a document's text, plain, as subtitles or as JSON. */
export async function run(
  { client, output, interrupts }: Context,
  [wanted = '']: string[],
  { format = 'txt' }: { format?: TranscriptFormat },
): Promise<void> {
  const signal = interrupts.first
  const id = /^\d+$/.test(wanted) ? Number(wanted) : await findByTitle(client, wanted, signal)
  const document = await client.document(id, { signal })
  if (document.segments === 0 && !output.json) output.note(noWords(document))
  if (!output.json) document.warnings.forEach((warning) => output.note(safe(warning)))
  output.printRaw(await client.transcript(id, output.json ? 'json' : format, { signal }))
}

const PAGE = 100

/** The newest document of that title, looked for page by page. */
async function findByTitle(
  client: Context['client'],
  title: string,
  signal: AbortSignal,
): Promise<number> {
  let before: number | undefined
  for (;;) {
    const page = await client.documents({
      limit: PAGE,
      signal,
      ...(before === undefined ? {} : { before }),
    })
    const found = page.find((document) => document.title === title)
    if (found !== undefined) return found.id
    before = page.at(-1)?.id
    if (page.length < PAGE || before === undefined) {
      throw new EarshotError(
        'EARSHOT_NOT_FOUND',
        `There is no document ${JSON.stringify(title)}.`,
        {
          field: 'document',
          hint: 'Give its number, as earshot search --json and earshot job show it, or its exact title.',
        },
      )
    }
  }
}
