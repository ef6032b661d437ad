import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, openSync } from 'node:fs'
import { chown, mkdir, readFile, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import pg from 'pg'

const execute = promisify(execFile)

/** A server's programs on this machine, as the launcher found them. */
export type LocalServer = {
  kind: 'local'
  bin: string
  version: number
  runAs: { uid: number; gid: number } | null
}
export type Cluster = { url: string; stop: () => Promise<void> }
/** One that a test may break. */
export type LocalCluster = Cluster & {
  /**
   * Ends the server and starts it again: fast cuts all sessions; crash also leaves the rest to
   * recovery.
   */
  restart: (how: 'fast' | 'crash') => Promise<void>
}

/**
 * Nothing here outlives the run, so nothing waits for a disk. 200: every test file brings pools of
 * its own.
 */
const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '200',
  fsync: 'off',
  full_page_writes: 'off',
  synchronous_commit: 'off',
  log_min_messages: 'warning',
}

/**
 * Starts a private PostgreSQL below a folder, on a free loopback port, with a random password.
 *
 * @param more settings of its own, such as { synchronous_commit: 'on' } where a crash must lose
 *   nothing
 * @param env variables of its own, such as those of a settable clock
 * @throws Error with the server's own log when it does not come up within 30 s
 */
export async function startCluster(
  server: LocalServer,
  folder: string,
  more: Record<string, string> = {},
  env: Record<string, string> = {},
): Promise<LocalCluster> {
  const place = join(folder, 'postgres')
  const data = join(place, 'data')
  const password = randomBytes(16).toString('hex')
  await createData(server, place, data, password)
  const port = await freePort()
  const url = `postgresql://earshot:${password}@127.0.0.1:${port}/postgres`
  const log = join(place, 'log')
  const settings = Object.entries({ ...SETTINGS, ...more }).flatMap(([name, value]) => [
    '-c',
    `${name}=${value}`,
  ])
  const start = async () => {
    const out = openSync(log, 'a')
    const started = spawn(
      join(server.bin, 'postgres'),
      ['-D', data, '-p', String(port), ...settings],
      {
        stdio: ['ignore', out, out],
        env: { ...process.env, ...env },
        ...server.runAs,
      },
    )
    await answers(url, started, log)
    return started
  }
  let child = await start()
  return {
    url,
    stop: () => stop(child, 'SIGINT'),
    async restart(how) {
      await stop(child, how === 'fast' ? 'SIGINT' : 'SIGQUIT')
      child = await start()
    },
  }
}

async function createData(
  server: LocalServer,
  place: string,
  data: string,
  password: string,
): Promise<void> {
  const passwordFile = join(place, 'password')
  await mkdir(place, { mode: 0o700 })
  await writeFile(passwordFile, password, { mode: 0o600 })
  if (server.runAs !== null) {
    for (const path of [place, passwordFile]) await chown(path, server.runAs.uid, server.runAs.gid)
  }
  // C.UTF-8: the same order of texts on every machine.
  const options = [
    '-D',
    data,
    '-U',
    'earshot',
    '--auth=scram-sha-256',
    `--pwfile=${passwordFile}`,
    '--encoding=UTF8',
    '--no-sync',
  ]
  const locale = process.platform === 'linux' ? '--locale=C.UTF-8' : '--no-locale'
  await execute(join(server.bin, 'initdb'), [...options, locale], { ...server.runAs, cwd: place })
}

/** Waits until the server takes connections. It tells no one when it is ready, so it is asked. */
async function answers(url: string, child: ChildProcess, log: string): Promise<void> {
  const deadline = Date.now() + 30_000
  for (;;) {
    const client = new pg.Client({ connectionString: url })
    // The calls on it fail too and say why; unheard, this event would end the process.
    client.on('error', () => {})
    try {
      await client.connect()
      await client.end()
      return
    } catch (error) {
      const ended = child.exitCode !== null || child.signalCode !== null
      if (ended || Date.now() > deadline) {
        child.kill('SIGQUIT')
        throw new Error(
          `The private PostgreSQL did not come up. It said:\n${await readFile(log, 'utf8')}`,
          { cause: error },
        )
      }
      await sleep(30)
    }
  }
}

/**
 * SIGINT is the server's fast shutdown: open sessions are cut; SIGQUIT its immediate one, after
 * which it must recover.
 */
async function stop(child: ChildProcess, signal: 'SIGINT' | 'SIGQUIT'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill(signal)
  await ended
}

/** Ends the server that a killed run left behind in its folder. */
export async function stopStaleCluster(server: LocalServer, folder: string): Promise<void> {
  const data = join(folder, 'postgres', 'data')
  if (!existsSync(join(data, 'postmaster.pid'))) return
  try {
    await execute(join(server.bin, 'pg_ctl'), ['stop', '-D', data, '-m', 'immediate'], {
      ...server.runAs,
      cwd: '/',
    })
  } catch (error) {
    // Killed together with its run: the file names a process that is gone, and there is nothing to
    // end.
    if (!/PID file|No such process/.test(String(error))) throw error
  }
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
