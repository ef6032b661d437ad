import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { silentLog } from '@earshot/shared/log'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createInbox } from '../src/inbox/inbox.ts'
import { createMemoryStore } from './inbox-memory.ts'

const CHILD = join(import.meta.dirname, 'inbox-child.ts')
const NOBODY = 65534

async function folder(mode = 0o755): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), 'earshot-trouble-'))
  await chmod(home, mode)
  onTestFinished(() => rm(home, { recursive: true, force: true }))
  return home
}

type Line = { ready?: true; did?: string; path?: string; sentence?: string; msg?: string }

/** An inbox in another process; `until` waits for a line it prints. */
async function child(command: string[], options: { env?: NodeJS.ProcessEnv } = {}) {
  const process = spawn(command[0]!, command.slice(1), {
    stdio: ['ignore', 'pipe', 'inherit'],
    ...options,
  })
  const lines: Line[] = []
  const reader = createInterface({ input: process.stdout })
  reader.on('line', (line) => lines.push(JSON.parse(line) as Line))
  onTestFinished(() => void process.kill('SIGKILL'))
  async function until(matches: (line: Line) => boolean): Promise<Line> {
    for (;;) {
      const found = lines.find(matches)
      if (found !== undefined) return found
      await once(reader, 'line', { signal: AbortSignal.timeout(20_000) })
    }
  }
  await until((line) => line.ready === true)
  return { process, until, lines }
}

/** The process ids of the watchers of a folder. */
async function watchersOf(dir: string): Promise<number[]> {
  const commands = (await readdir('/proc'))
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return {
          pid: Number(pid),
          command: readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0'),
        }
      } catch {
        return { pid: 0, command: [] } // ended just now
      }
    })
  return commands
    .filter(({ command }) => command[0] === 'inotifywait' && command.includes(dir))
    .map(({ pid }) => pid)
}

async function eventually<T>(look: () => Promise<T> | T, good: (value: T) => boolean): Promise<T> {
  const giveUp = performance.now() + 20_000
  for (;;) {
    const value = await look()
    if (good(value)) return value
    if (performance.now() > giveUp) throw new Error(`It stayed ${JSON.stringify(value)}.`)
    await sleep(20)
  }
}

async function openHere(dir: string) {
  const memory = createMemoryStore()
  const inbox = createInbox({
    dir,
    store: memory.store,
    log: silentLog(),
    settleS: 0.3,
    rescanS: 3600,
    checkS: 0.1,
    watcher: 'inotifywait',
  })
  await inbox.start()
  onTestFinished(() => inbox.stop())
  return { memory, inbox }
}

describe.runIf(process.platform === 'linux')('the inbox in trouble', () => {
  test('a watcher program that is killed is started again, and what it missed is found', async () => {
    const dir = await folder()
    const { memory } = await openHere(dir)
    const [first] = await watchersOf(dir)
    process.kill(first!, 'SIGKILL')
    await writeFile(join(dir, 'missed.wav'), 'missed')
    await memory.of('take', 'missed.wav')
    await eventually(
      () => watchersOf(dir),
      (pids) => pids.length === 1 && pids[0] !== first,
    )
    await writeFile(join(dir, 'after.wav'), 'after')
    await memory.of('take', 'after.wav')
  })

  test('more events than the kernel keeps are noticed, and what was lost is found', async () => {
    const dir = await folder()
    const { memory, inbox } = await openHere(dir)
    await writeFile(join(dir, 'before.wav'), 'before')
    await memory.of('take', 'before.wav')
    // The look at start must be over, or it would find what this test wants lost.
    await inbox.rescan()
    await sleep(300)
    const [pid] = await watchersOf(dir)
    process.kill(pid!, 'SIGSTOP')
    const limit = Number(readFileSync('/proc/sys/fs/inotify/max_queued_events', 'utf8'))
    for (let i = 0; i < limit; i++) writeFileSync(join(dir, `.noise-${i % 2}`), '')
    await writeFile(join(dir, 'lost.wav'), 'lost')
    process.kill(pid!, 'SIGCONT')
    await memory.of('take', 'lost.wav')
  })

  test('stopping leaves no watcher program behind, and so does being killed', async () => {
    const dir = await folder()
    const { inbox } = await openHere(dir)
    expect(await watchersOf(dir)).toHaveLength(1)
    await inbox.stop()
    expect(await watchersOf(dir)).toEqual([])
    const other = await child([process.execPath, CHILD, dir, 'inotifywait'])
    expect(await watchersOf(dir)).toHaveLength(1)
    other.process.kill('SIGKILL')
    await eventually(
      () => watchersOf(dir),
      (pids) => pids.length === 0,
    )
  })

  test('without the program inotifywait files are taken once they stood still, and it is said what to install', async () => {
    const dir = await folder()
    const empty = await folder()
    const { until } = await child([process.execPath, CHILD, dir], { env: { PATH: empty } })
    await until((line) => line.msg?.includes('apt-get install inotify-tools') === true)
    await writeFile(join(dir, 'a.wav'), 'a')
    await until((line) => line.did === 'take' && line.path === 'a.wav')
  })

  test.runIf(canUnshare())(
    'where the system allows no more watches it is said how to allow more, and polling takes over',
    async () => {
      const dir = await folder()
      for (let i = 0; i < 10; i++) await mkdir(join(dir, `sub ${i}`))
      const script = 'echo 5 >/proc/sys/user/max_inotify_watches && exec "$@"'
      const { until } = await child([
        'unshare',
        '-U',
        '-r',
        'sh',
        '-c',
        script,
        'sh',
        process.execPath,
        CHILD,
        dir,
      ])
      await until((line) => line.msg?.includes('sysctl fs.inotify.max_user_watches') === true)
      await writeFile(join(dir, 'sub 9', 'a.wav'), 'a')
      await until((line) => line.did === 'take' && line.path === 'sub 9/a.wav')
    },
  )

  test.runIf(process.getuid?.() === 0)(
    'an unreadable file is refused once with a sentence, and taken when it can be read',
    async () => {
      const dir = await folder(0o777)
      await mkdir(join(dir, 'locked'), { mode: 0o700 })
      await writeFile(join(dir, 'secret.wav'), 'secret', { mode: 0o600 })
      const { until, lines } = await child([process.execPath, CHILD, dir, '-', String(NOBODY)])
      const { sentence } = await until(
        (line) => line.did === 'refuse' && line.path === 'secret.wav',
      )
      expect(sentence).toBe(
        '“secret.wav” cannot be read by the user that Earshot runs as. Give it read permission; it is then taken in by itself.',
      )
      await until((line) => line.did === 'refuse' && line.path === 'locked')
      await writeFile(join(dir, 'other.wav'), 'other')
      await until((line) => line.did === 'take' && line.path === 'other.wav')
      await sleep(1500) // three looks through the folder
      expect(lines.filter((line) => line.did === 'refuse')).toHaveLength(2)
      await chmod(join(dir, 'secret.wav'), 0o644)
      await until((line) => line.did === 'take' && line.path === 'secret.wav')
    },
  )

  test.runIf(process.getuid?.() === 0)(
    'a file written by another user, whom we cannot see, is not taken before it is closed',
    async () => {
      const dir = await folder(0o777)
      const { until, lines } = await child([process.execPath, CHILD, dir, '-', String(NOBODY)])
      const writer = spawn(process.execPath, [
        join(import.meta.dirname, 'inbox-writer.mjs'),
        join(dir, 'slow.wav'),
        'allocated',
      ])
      await once(writer.stdout, 'data')
      writer.stdin.write('\n')
      await sleep(1500) // five times the settle time, three looks through the folder
      expect(lines.filter((line) => line.did !== undefined)).toEqual([])
      writer.stdin.end()
      await until((line) => line.did === 'take' && line.path === 'slow.wav')
    },
  )

  test('a folder that is a link is watched where it leads', async () => {
    const home = await folder()
    await mkdir(join(home, 'real'))
    await symlink(join(home, 'real'), join(home, 'link'))
    const { memory } = await openHere(join(home, 'link'))
    await writeFile(join(home, 'link', 'a.wav'), 'a')
    await memory.of('take', 'a.wav')
  })

  test('a folder that cannot be made stops the start with one sentence', async () => {
    const home = await folder()
    await writeFile(join(home, 'file'), '')
    await expect(openHere(join(home, 'file', 'inbox'))).rejects.toMatchObject({
      code: 'EARSHOT_BAD_CONFIG',
      field: 'inbox.path',
    })
    expect(existsSync(join(home, 'file', 'inbox'))).toBe(false)
  })

  test("an inbox that holds Earshot's own files is refused; one within them, and one with them under a hidden name, are not", async () => {
    const dir = await folder()
    await mkdir(join(dir, '.earshot', 'inbox'), { recursive: true })
    await mkdir(join(dir, 'state'))
    await symlink(join(dir, 'state'), join(dir, '.earshot', 'link'))
    const start = async (inbox: string, home: string) => {
      const one = createInbox({
        dir: inbox,
        home,
        store: createMemoryStore().store,
        log: silentLog(),
      })
      await one.start()
      await one.stop()
    }
    for (const home of [dir, join(dir, 'state'), join(dir, '.earshot', 'link')]) {
      await expect(start(dir, home), home).rejects.toMatchObject({
        code: 'EARSHOT_BAD_CONFIG',
        field: 'inbox.path',
        message: expect.stringContaining(home),
      })
    }
    await start(dir, join(dir, '.earshot'))
    await start(join(dir, '.earshot', 'inbox'), join(dir, '.earshot'))
  })

  test('a file that was open at start is taken when its writer closes it, and who has it open is told', async () => {
    const dir = await folder()
    const handle = spawn(process.execPath, [
      join(import.meta.dirname, 'inbox-writer.mjs'),
      join(dir, 'open.wav'),
      'grow',
    ])
    await once(handle.stdout, 'data')
    handle.stdin.write('\n')
    await once(handle.stdout, 'data')
    execFileSync('touch', ['-d', '1 hour ago', join(dir, 'open.wav')])
    const { memory, inbox } = await openHere(dir)
    const [waiting] = await eventually(
      () => inbox.waiting(),
      (list) => list[0]?.reason.includes('open for writing') === true,
    )
    expect(waiting!.reason).toContain(`process ${handle.pid}`)
    await sleep(1000)
    expect(memory.told).toEqual([])
    handle.stdin.end()
    await memory.of('take', 'open.wav')
  })
})

function canUnshare(): boolean {
  try {
    execFileSync(
      'unshare',
      ['-U', '-r', 'sh', '-c', 'echo 1000 >/proc/sys/user/max_inotify_watches'],
      { stdio: 'ignore' },
    )
    return true
  } catch {
    return false
  }
}
