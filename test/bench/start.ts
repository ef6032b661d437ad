import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { rm } from 'node:fs/promises'
import { type Bench, type Figure, figure } from './figures.ts'

const ROOT = path.resolve(import.meta.dirname, '../..')
/**
 * What `earshot up` writes at level debug when it has started: ms since its process began,
 * cumulative.
 */
type Started = {
  began_at: number
  program: number
  database: number
  schema: number
  services: number
}
const STEPS = ['launcher', 'program', 'database', 'schema', 'services'] as const

/**
 * What `npm start` runs, set-up already done, with a fresh home (cold) and with the same one again
 * (warm), step by step.
 */
export async function measureStart({
  quick,
  folder,
  say,
}: Pick<Bench, 'quick' | 'folder' | 'say'>): Promise<Figure[]> {
  const runs: Record<'cold' | 'warm', number[][]> = { cold: [], warm: [] }
  for (let i = 0; i < (quick ? 1 : 3); i++) {
    const home = path.join(folder, `start-${i}`)
    for (const kind of ['cold', 'warm'] as const) {
      say(`npm start, ${kind}`)
      runs[kind].push(await startOnce(home))
    }
    await rm(home, { recursive: true })
  }
  return (['cold', 'warm'] as const).flatMap((kind) => [
    figure(
      `start, ${kind}`,
      'embedded',
      runs[kind].map((steps) => steps.reduce((sum, step) => sum + step, 0)),
      's',
      'seconds',
    ),
    ...STEPS.map((step, at) =>
      figure(
        `  ${step}`,
        'embedded',
        runs[kind].map((steps) => steps[at]!),
        's',
      ),
    ),
  ])
}

/** Starts, waits until it is up, stops; returns seconds for each step. */
async function startOnce(home: string): Promise<number[]> {
  const env = {
    ...process.env,
    EARSHOT_HOME: home,
    EARSHOT_INBOX: path.join(home, 'inbox'),
    EARSHOT_PORT: '0',
    EARSHOT_LOG_LEVEL: 'debug',
    DATABASE_URL: '',
  }
  const asked = Date.now()
  // Not through npm: it starts a shell, and a signal to npm would end those two and leave the mesh.
  const child = spawn(process.execPath, [path.join(ROOT, 'launcher/start.mjs'), '--json'], {
    cwd: ROOT,
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const ended = once(child, 'close')
  try {
    for await (const line of createInterface({ input: child.stderr })) {
      if (!line.startsWith('{') || !line.includes('"Started"')) continue
      const { began_at, program, database, schema, services } = JSON.parse(line) as Started
      return [
        began_at - asked,
        program,
        database - program,
        schema - database,
        services - schema,
      ].map((ms) => ms / 1000)
    }
    throw new Error('npm start ended before it was up.')
  } finally {
    child.stderr.resume()
    child.kill('SIGTERM')
    await ended
  }
}
