import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, openSync } from 'node:fs'
import { chown, mkdir, readFile, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { type LocalServer, freePort } from './cluster.ts'

/** PgBouncer's program, where this machine has it; Debian puts it where only root's PATH looks. */
export function findPooler(): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin']
  return folders.map((folder) => join(folder, 'pgbouncer')).find((path) => existsSync(path))
}

export type Pooler = AsyncDisposable & {
  /** The address given, through the pooler. */
  url: string
  /** Kills it, and everyone's connections with it, and starts it again on the same port. */
  restart(): Promise<void>
}

/**
 * Starts PgBouncer in transaction mode before a server, below a folder, on a free loopback port. It
 * asks no one for a password.
 *
 * @param runAs it refuses to run as root
 * @throws Error with its own log when it does not answer within 10 s
 */
export async function startPooler(
  program: string,
  runAs: LocalServer['runAs'],
  folder: string,
  url: string,
): Promise<Pooler> {
  const place = join(folder, 'pooler')
  await mkdir(place, { mode: 0o700 })
  const port = await freePort()
  const config = join(place, 'pgbouncer.ini')
  await writeFile(config, configuration(new URL(url), port), { mode: 0o600 })
  if (runAs !== null) for (const path of [place, config]) await chown(path, runAs.uid, runAs.gid)
  const own = new URL(url)
  own.port = String(port)
  const log = join(place, 'log')
  const start = async () => {
    const out = openSync(log, 'a')
    const child = spawn(program, [config], { stdio: ['ignore', out, out], ...runAs })
    await answers(own.href, child, log)
    return child
  }
  let child = await start()
  const kill = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }
  return {
    url: own.href,
    async restart() {
      await kill()
      child = await start()
    },
    [Symbol.asyncDispose]: kill,
  }
}

/** server_login_retry: it would wait 15 s before it tries a server again that was restarted. */
function configuration({ hostname, port, username, password }: URL, own: number): string {
  return `[databases]
* = host=${hostname} port=${port} user=${username} password=${password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${own}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 20
max_client_conn = 1000
server_login_retry = 1
`
}

async function answers(url: string, child: ChildProcess, log: string): Promise<void> {
  const deadline = Date.now() + 10_000
  for (;;) {
    const client = new pg.Client({ connectionString: url })
    // The calls on it fail too and say why; unheard, this event would end the process.
    client.on('error', () => {})
    try {
      await client.connect()
      return
    } catch (error) {
      if (child.exitCode !== null || Date.now() > deadline) {
        child.kill('SIGKILL')
        throw new Error(`PgBouncer did not come up. It said:\n${await readFile(log, 'utf8')}`, {
          cause: error,
        })
      }
      await sleep(30)
    } finally {
      await client.end().catch(() => {})
    }
  }
}
