import type { ListedJob, LaneView, NodeView } from '@earshot/contract'
import { needsText } from '@earshot/shared/lanes'
import type { Output } from '../output.ts'
import { counted, safe } from '../wording.ts'
import type { TopState } from './state.ts'

type Paint = Pick<Output, 'bold' | 'dim' | 'red' | 'green' | 'yellow'>
/** A cell: its text, and how it is painted once it has its width. */
type Cell = string | [text: string, paint: (text: string) => string]
/** How wide a column may be, and whether numbers stand at its right edge. */
type Column = { head: string; most?: number; right?: boolean }

/**
 * One picture of the mesh: at most `height` lines of at most `width` columns. Where there is more
 * than fits, a last line says how much.
 *
 * @example
 * frame(state, 80, 24, output).join('\n')
 */
export function frame(state: TopState, width: number, height: number, paint: Paint): string[] {
  const rooms = share(height - 1, [state.nodes.length, state.lanes.length, state.jobs.length])
  const sections = [nodesOf(state, paint), lanesOf(state, paint), jobsOf(state, paint)]
  const lines = sections.flatMap((section, at) =>
    rooms[at] === 0 ? [] : ['', ...table(section, rooms[at]!, width, paint)],
  )
  return [head(state, width, paint), ...lines].slice(0, Math.max(1, height))
}

function head(state: TopState, width: number, paint: Paint): string {
  const up = state.nodes.filter(({ status }) => status === 'online').length
  const running = state.jobs.filter(({ status }) => status === 'running').length
  const waiting = state.lanes.reduce((total, lane) => total + lane.waiting, 0)
  const figures = [
    `${up} of ${counted(state.nodes.length, 'node')} up`,
    `${running} running`,
    `${waiting} waiting`,
    `${state.completed_per_min} done/min`,
    `${state.failed_per_min} failed/min`,
  ]
  if (state.redis === 'away') figures.push('Redis away')
  if (state.trouble !== null) return paint.red(cut(safe(state.trouble), width))
  return paint.bold(
    cut([safe(state.url.replace(/^https?:\/\//, '')), ...figures].join('  '), width),
  )
}

/**
 * Shares the lines among the sections: a blank line, the headings and rows each. None gets more
 * than it has rows for; the last ones get what is left.
 */
function share(lines: number, rows: number[]): number[] {
  let left = lines
  return rows.map((count, at) => {
    const fair = Math.floor(left / (rows.length - at))
    const wanted = count + 2
    const rest = rows.slice(at + 1).reduce((total, one) => total + one + 2, 0)
    const given = Math.min(wanted, Math.max(fair, left - rest))
    left -= given
    // A heading without a row under it tells nothing.
    return given < 3 && count > 0 ? 0 : Math.max(0, given - 1)
  })
}

type Section = { columns: Column[]; rows: Cell[][]; nothing: string }

function nodesOf({ nodes, jobs, now }: TopState, paint: Paint): Section {
  const rows = nodes.map((node): Cell[] => [
    safe(node.id),
    state(node, paint),
    slots(node, jobs),
    speed(node),
    brief((now - Date.parse(node.last_seen)) / 1000),
    [safe(node.reason ?? ''), paint.dim],
  ])
  return {
    columns: [
      { head: 'NODE', most: 20 },
      { head: 'STATE' },
      { head: 'SLOTS', most: 48 },
      { head: 'SPEED', most: 24 },
      { head: 'HEARD', right: true },
      { head: '' },
    ],
    rows,
    nothing: 'No node has joined yet.',
  }
}

function state({ status, drained, quarantines }: NodeView, paint: Paint): Cell {
  if (status !== 'online') return [status, status === 'offline' ? paint.dim : paint.yellow]
  if (quarantines.some(({ role }) => role === '*')) return ['quarantined', paint.red]
  if (drained) return ['drained', paint.yellow]
  return quarantines.length > 0 ? ['in part', paint.yellow] : [status, paint.green]
}

/** `tts 1/2, stt_batch 0/1`, used and all; a total of all roles comes first. */
function slots({ id, slots: offered }: NodeView, jobs: ListedJob[]): string {
  const own = jobs.filter((job) => job.assigned_node === id)
  const used = (role: string) =>
    role === '*' ? own.length : own.filter((job) => job.role === role).length
  return Object.entries(offered)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([role, most]) => `${role === '*' ? 'all' : safe(role)} ${used(role)}/${most}`)
    .join(' ')
}

/** What it measured: seconds of audio a second for transcribe, jobs a second for all else. */
function speed({ speeds }: NodeView): string {
  return Object.entries(speeds)
    .map(
      ([kind, rate]) =>
        `${safe(kind)} ${rate >= 10 ? Math.round(rate) : Math.round(rate * 10) / 10}${kind === 'transcribe' ? '×' : '/s'}`,
    )
    .join(' ')
}

function lanesOf({ lanes }: TopState, paint: Paint): Section {
  const rows = lanes.map((lane): Cell[] => [
    safe(lane.role),
    safe(needsText(lane.requires)),
    lane.class,
    many(lane),
    brief(lane.oldest_s),
    [safe(lane.stuck ?? ''), paint.yellow],
  ])
  return {
    columns: [
      { head: 'LANE', most: 20 },
      { head: 'NEEDS', most: 30 },
      { head: 'CLASS' },
      { head: 'WAITING', right: true },
      { head: 'OLDEST', right: true },
      { head: '' },
    ],
    rows,
    nothing: 'Nothing waits.',
  }
}

const many = ({ waiting }: LaneView): string => (waiting >= 10_000 ? '≥10000' : String(waiting))

function jobsOf({ jobs, now }: TopState, paint: Paint): Section {
  const rows = jobs.map((job): Cell[] => {
    const held = job.assigned_at === null ? '' : brief((now - Date.parse(job.assigned_at)) / 1000)
    return [
      String(job.id),
      safe(job.kind),
      [job.status, job.status === 'running' ? paint.green : paint.dim],
      safe(job.assigned_node ?? ''),
      held,
      bar(job.progress),
      safe(job.title ?? ''),
    ]
  })
  return {
    columns: [
      { head: 'JOB', right: true },
      { head: 'KIND', most: 20 },
      { head: 'STATUS' },
      { head: 'NODE', most: 20 },
      { head: 'SINCE', right: true },
      { head: 'PROGRESS' },
      { head: '' },
    ],
    rows,
    nothing: 'No job is in hand.',
  }
}

const BAR = 10

function bar(progress: number | null): string {
  if (progress === null) return ''
  const done = Math.round(progress * BAR)
  return `${'█'.repeat(done)}${'░'.repeat(BAR - done)} ${String(Math.round(progress * 100)).padStart(3)} %`
}

/** A length of time in at most four signs: `3s`, `12m`, `5h`, `40d`. */
function brief(seconds: number): string {
  if (!(seconds > 0)) return '0s'
  if (seconds < 100) return `${Math.floor(seconds)}s`
  if (seconds < 6_000) return `${Math.floor(seconds / 60)}m`
  return seconds < 360_000 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86_400)}d`
}

/** Headings and rows in `lines` lines; columns of equal width all the way down. */
function table(
  { columns, rows, nothing }: Section,
  lines: number,
  width: number,
  paint: Paint,
): string[] {
  if (rows.length === 0) return [paint.dim(cut(nothing, width))]
  const fit = rows.length + 1 <= lines ? rows.length : Math.max(0, lines - 2)
  const shown = rows.slice(0, fit)
  const widths = columns.map(({ head, most = Infinity }, at) =>
    Math.min(most, Math.max(length(head), ...shown.map((row) => length(textOf(row[at]!))))),
  )
  const line = (cells: Cell[]): string => {
    let left = width
    return cells
      .map((cell, at) => {
        const room = Math.min(left, at === cells.length - 1 ? left : widths[at]!)
        left = Math.max(0, left - room - 2)
        if (room <= 0) return ''
        const text = cut(textOf(cell), room)
        const space = at === cells.length - 1 ? '' : ' '.repeat(room - length(text))
        const painted = typeof cell === 'string' || text === '' ? text : cell[1](text)
        return `${columns[at]!.right === true ? space + painted : painted + space}${left > 0 && at < cells.length - 1 ? '  ' : ''}`
      })
      .join('')
      .trimEnd()
  }
  const more = fit === rows.length ? [] : [paint.dim(cut(`… and ${rows.length - fit} more`, width))]
  return [line(columns.map(({ head }): Cell => [head, paint.dim])), ...shown.map(line), ...more]
}

const textOf = (cell: Cell): string => (typeof cell === 'string' ? cell : cell[0])
const length = (text: string): number => [...text].length

/** Shortened to so many columns, with a mark where something is missing. */
function cut(text: string, room: number): string {
  return length(text) <= room ? text : room <= 0 ? '' : `${[...text].slice(0, room - 1).join('')}…`
}
