import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import pg from 'pg'
import type { Cluster } from './cluster.ts'

const execute = promisify(execFile)

export type ContainerServer = { kind: 'container'; image: string }

/**
 * Starts PostgreSQL in a container, for machines without the server's programs. It removes itself when it stops; `--rm`
 * and the label let a person find one that a killed run left behind: `docker ps --filter label=earshot-test`.
 */
export async function startContainer({ image }: ContainerServer): Promise<Cluster> {
  const password = randomBytes(16).toString('hex')
  const user = ['-e', 'POSTGRES_USER=earshot', '-e', `POSTGRES_PASSWORD=${password}`]
  const options = [
    '--detach',
    '--rm',
    '--label',
    `earshot-test=${process.pid}`,
    '--publish',
    '127.0.0.1::5432',
    ...user,
  ]
  const { stdout } = await execute('docker', [
    'run',
    ...options,
    image,
    '-c',
    'fsync=off',
    '-c',
    'max_connections=200',
  ])
  const id = stdout.trim()
  const stop = async () => void (await execute('docker', ['rm', '--force', id]))
  try {
    const published = (await execute('docker', ['port', id, '5432/tcp'])).stdout
      .trim()
      .split('\n')[0]
    const url = `postgresql://earshot:${password}@${published}/postgres`
    await answers(url)
    return { url, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** 60 s: the image creates its cluster first. */
async function answers(url: string): Promise<void> {
  const deadline = Date.now() + 60_000
  for (;;) {
    const client = new pg.Client({ connectionString: url })
    try {
      await client.connect()
      await client.end()
      return
    } catch (error) {
      if (Date.now() > deadline) throw error
      await sleep(200)
    }
  }
}
