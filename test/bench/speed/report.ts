import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { plot } from './plot.ts'
import { HEADS, type Line, cells } from './result.ts'

const DOCS = path.resolve(import.meta.dirname, '../../../docs')
const BEGIN = '<!-- pnpm bench mesh --report writes from here -->'
const END = '<!-- to here -->'

/** Puts the figures between the marks in docs/performance.md, and the plot beside it. */
export async function writeReport(lines: readonly Line[], machine: string): Promise<void> {
  const file = path.join(DOCS, 'performance.md')
  const text = await readFile(file, 'utf8')
  const [before, rest] = text.split(BEGIN)
  const after = rest?.split(END)[1]
  if (before === undefined || after === undefined)
    throw new Error(`${file} has no place for the figures: ${BEGIN} … ${END}`)
  const row = (values: readonly string[]) => `| ${values.join(' | ')} |`
  const notes = [
    ...new Set(
      lines.flatMap(({ measure, note }) => (note === undefined ? [] : [`${measure}: ${note}`])),
    ),
  ].map((note) => `- ${note}`)
  const section = [
    BEGIN,
    `Measured on ${new Date().toISOString().slice(0, 10)}: ${machine}.`,
    '',
    row(HEADS),
    row(HEADS.map(() => '---')),
    ...lines.map((line) => row(cells(line))),
    '',
    ...notes,
    ...(notes.length > 0 ? [''] : []),
    '![Ratios and their targets](speed.svg)',
    END,
  ]
  await writeFile(file, `${before}${section.join('\n')}${after}`)
  await writeFile(path.join(DOCS, 'speed.svg'), plot(lines))
}
