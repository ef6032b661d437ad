import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import type { Box } from './mesh.ts'

const execute = promisify(execFile)

export type TwoBoxes = AsyncDisposable & {
  /** Each with an address of its own, and what goes before a command to run it there. */
  boxes: { address: string; box: Box }[]
  /** Whether these are network namespaces, or only two loopback addresses of this machine. */
  isolated: boolean
  /** The address of the tests' database as both boxes reach it. */
  database(url: string): string
}

/**
 * Two boxes with a cable between them: network namespaces where this user may make them (Linux,
 * root), otherwise two loopback addresses. Nothing but the cable leads from one to the other; the
 * database is reached through a socket file.
 */
export async function twoBoxes(databaseUrl: string): Promise<TwoBoxes> {
  const suffix = `${process.pid % 100_000}`
  const names = [`earshot-a${suffix}`, `earshot-b${suffix}`]
  const remove = async () => {
    for (const name of names) await execute('ip', ['netns', 'del', name]).catch(() => undefined)
  }
  try {
    await connect(names, suffix)
  } catch {
    await remove()
    return loopback()
  }
  const openaiApi = await socketDoor(databaseUrl)
  return {
    boxes: names.map((name, i) => ({ address: addressOf(i), box: ['ip', 'netns', 'exec', name] })),
    isolated: true,
    database: openaiApi.url,
    async [Symbol.asyncDispose]() {
      await openaiApi.close()
      await remove()
    },
  }
}

const addressOf = (i: number): string => `10.213.7.${i + 1}`

async function connect(names: string[], suffix: string): Promise<void> {
  const ip = (...args: string[]) => execute('ip', args)
  const cables = [`esa${suffix}`, `esb${suffix}`]
  for (const name of names) await ip('netns', 'add', name)
  await ip(
    'link',
    'add',
    cables[0]!,
    'netns',
    names[0]!,
    'type',
    'veth',
    'peer',
    'name',
    cables[1]!,
    'netns',
    names[1]!,
  )
  for (const [i, name] of names.entries()) {
    await ip('-n', name, 'addr', 'add', `${addressOf(i)}/24`, 'dev', cables[i]!)
    await ip('-n', name, 'link', 'set', cables[i]!, 'up')
    await ip('-n', name, 'link', 'set', 'lo', 'up')
  }
}

function loopback(): TwoBoxes {
  return {
    boxes: ['127.0.0.2', '127.0.0.3'].map((address) => ({ address, box: [] })),
    isolated: false,
    database: (url) => url,
    [Symbol.asyncDispose]: async () => {},
  }
}

/**
 * The database listens on loopback, which every namespace has its own of; files are seen from all.
 */
async function socketDoor(
  databaseUrl: string,
): Promise<{ url(of: string): string; close(): Promise<void> }> {
  const { hostname, port } = new URL(databaseUrl)
  const folder = await mkdtemp(path.join(os.tmpdir(), 'earshot-door-'))
  const open = new Set<net.Socket>()
  const server = net.createServer((near) => {
    const far = net.connect(Number(port), hostname)
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(socket)
      socket.pipe(other)
      // One side's end is the other's; an error is followed by it.
      socket.on('error', () => other.destroy())
      socket.on('close', () => {
        open.delete(socket)
        other.destroy()
      })
    }
  })
  await new Promise<void>((resolve) => server.listen(path.join(folder, '.s.PGSQL.5432'), resolve))
  return {
    url(of) {
      const url = new URL(of)
      url.host = 'localhost:5432'
      url.searchParams.set('host', folder)
      return url.href
    },
    async close() {
      for (const socket of open) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
      await rm(folder, { recursive: true, force: true })
    },
  }
}
