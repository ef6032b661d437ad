import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import type { JobView, LaneView, NodeView } from '@earshot/contract'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { clientOf, type MeshProcess, startProcess } from '../../../test/helpers/mesh.ts'
import { createOutput } from '../src/output.ts'
import { frame } from '../src/top/frame.ts'
import { createRates, type TopState } from '../src/top/state.ts'
import { earshot, emptyFolder, environment, MAIN } from './helpers/run.ts'

const NOW = Date.parse('2026-01-01T00:01:00Z')
const plain = createOutput({ write: () => {} }, { write: () => {} }, { json: false, noColor: true })
const coloured = createOutput(
  { write: () => {}, isTTY: true },
  { write: () => {} },
  { json: false, noColor: false },
)

const node = (id: string, more: Partial<NodeView> = {}): NodeView => ({
  id,
  name: id,
  host: null,
  port: null,
  incarnation: 1,
  version: '0',
  protocol: 1,
  status: 'online',
  reason: null,
  drained: false,
  quarantines: [],
  roles: ['stt_batch'],
  tags: {},
  capabilities: {},
  slots: { stt_batch: 2 },
  speeds: {},
  open_jobs: 0,
  last_seen: '2026-01-01T00:00:58Z',
  ...more,
})
const job = (id: number, more: Partial<JobView> = {}): JobView => ({
  id,
  kind: 'transcribe',
  role: 'stt_batch',
  requires: {},
  status: 'running',
  assigned_node: 'attic',
  attempt: 1,
  tries: 0,
  max_tries: 3,
  priority: 0,
  class: 'batch',
  title: `talk ${id}.mp3`,
  payload: { media: 'a' } as unknown as JobView['payload'],
  result: null,
  error: null,
  document_id: null,
  progress: 0.43,
  run_at: '',
  deadline: null,
  created_at: '',
  assigned_at: '2026-01-01T00:00:48Z',
  finished_at: null,
  ...more,
})
const lane = (more: Partial<LaneView> = {}): LaneView => ({
  role: 'tts',
  requires: { gpu: 'nvidia-*' },
  class: 'interactive',
  waiting: 3,
  oldest_s: 200,
  stuck: 'No known node can run it.',
  ...more,
})
const state = (more: Partial<TopState> = {}): TopState => ({
  url: 'http://127.0.0.1:7700',
  now: NOW,
  nodes: [node('attic', { speeds: { transcribe: 12.4 } }), node('study', { drained: true })],
  lanes: [lane()],
  jobs: [job(7)],
  completed_per_min: 4,
  failed_per_min: 1,
  redis: null,
  trouble: null,
  ...more,
})

describe('a frame', () => {
  test('shows nodes, lanes and jobs under each other', () => {
    expect(frame(state(), 100, 30, plain)).toEqual([
      '127.0.0.1:7700  2 of 2 nodes up  1 running  3 waiting  4 done/min  1 failed/min',
      '',
      'NODE   STATE    SLOTS          SPEED           HEARD',
      'attic  online   stt_batch 1/2  transcribe 12×     2s',
      'study  drained  stt_batch 0/2                     2s',
      '',
      'LANE  NEEDS         CLASS        WAITING  OLDEST',
      'tts   gpu=nvidia-*  interactive        3      3m  No known node can run it.',
      '',
      'JOB  KIND        STATUS   NODE   SINCE  PROGRESS',
      '  7  transcribe  running  attic    12s  ████░░░░░░  43 %  talk 7.mp3',
    ])
  })

  test("never passes the terminal's edges, and says how much it leaves out", () => {
    const crowd = state({
      nodes: Array.from({ length: 40 }, (_, at) => node(`node-${at}`)),
      jobs: Array.from({ length: 90 }, (_, at) => job(at + 1)),
    })
    for (const [width, height] of [
      [100, 24],
      [40, 12],
      [12, 7],
      [1, 1],
      [300, 60],
    ] as const) {
      const lines = frame(crowd, width, height, plain)
      expect(lines.length).toBeLessThanOrEqual(height)
      for (const line of lines) expect([...line].length).toBeLessThanOrEqual(width)
    }
    expect(frame(crowd, 100, 24, plain).filter((line) => line.startsWith('… and '))).toHaveLength(2)
    expect(frame(crowd, 100, Infinity, plain)).toHaveLength(1 + 2 + 40 + 2 + 1 + 2 + 90)
  })

  test('is the same under its colours, and lets nobody steer the terminal', () => {
    const strange = state({
      nodes: [node('a\u001b[2J', { status: 'offline' })],
      jobs: [],
      lanes: [],
    })
    const painted = frame(strange, 80, 20, coloured).join('\n')
    expect(painted).toContain('\u001b[2m')
    expect(painted.replace(/\u001b\[\d+m/g, '')).toBe(frame(strange, 80, 20, plain).join('\n'))
    expect(frame(strange, 80, 20, plain).join('\n')).not.toContain('\u001b')
    expect(frame(state({ trouble: 'No mesh answers.' }), 80, 20, plain)[0]).toBe('No mesh answers.')
    expect(frame(state({ redis: 'away' }), 120, 20, plain)[0]).toContain('Redis away')
  })

  test('rates are of the last minute', () => {
    const rates = createRates()
    for (const at of [1_000, 30_000, 59_000]) rates.note('job.completed', at)
    rates.note('job.failed', 59_500)
    rates.note('job.started', 59_500)
    expect(rates.read(60_000)).toEqual({ completed_per_min: 3, failed_per_min: 1 })
    expect(rates.read(100_000)).toEqual({ completed_per_min: 1, failed_per_min: 1 })
  })
})

describe('earshot top', () => {
  const cwd = emptyFolder()
  let mesh: MeshProcess
  beforeAll(async () => {
    mesh = await startProcess('up', {
      EARSHOT_HOME: path.join(cwd, 'home'),
      EARSHOT_INBOX: path.join(cwd, 'inbox'),
      EARSHOT_PORT: '0',
      NODE_ID: 'box',
    })
    await clientOf(mesh).enqueue('speak', { text: 'never' }, { requires: { gpu: true } })
  })
  afterAll(async () => expect(await mesh.stop()).toBe(0))
  const env = () => ({ EARSHOT_URL: mesh.announced.url!, EARSHOT_HOME: path.join(cwd, 'home') })

  test('without a terminal prints one plain frame, and --json one snapshot', async () => {
    const { code, stdout } = await earshot(['top'], { cwd, env: env() })
    expect(code).toBe(0)
    expect(stdout).toMatch(/^127\.0\.0\.1:\d+ {2}1 of 1 node up/)
    expect(stdout).toMatch(/^tts +gpu +interactive +1 +\d+s +No known node can run it/m)
    expect(stdout).not.toContain('\u001b')
    expect(
      JSON.parse((await earshot(['top', '--json'], { cwd, env: env() })).stdout),
    ).toMatchObject({ nodes: [{ id: 'box' }], lanes: [{ waiting: 1 }], jobs: [] })
  })

  // util-linux's script makes a pseudo-terminal; other systems' script takes other arguments.
  const hasScript =
    spawnSync('script', ['--version']).stdout?.toString().includes('util-linux') ?? false
  test.skipIf(!hasScript)(
    "in a terminal draws in place, and q gives the terminal back (skipped without util-linux's script)",
    async () => {
      const child = spawn('script', ['-qec', `'${process.execPath}' '${MAIN}' top`, '/dev/null'], {
        cwd,
        env: { ...environment(env()), TERM: 'xterm' },
        stdio: ['pipe', 'pipe', 'inherit'],
      })
      let seen = ''
      const drawn = Promise.withResolvers<void>()
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        seen += text
        if (seen.split('\u001b[H').length > 3) drawn.resolve()
      })
      const ended = once(child, 'exit')
      await Promise.race([drawn.promise, ended])
      child.stdin.write('q')
      expect(await ended).toEqual([0, null])
      expect(seen).toContain('\u001b[?1049h')
      expect(seen).not.toContain('\u001b[2J')
      expect(seen.trimEnd().endsWith('\u001b[?25h\u001b[?1049l')).toBe(true)
    },
  )
})
