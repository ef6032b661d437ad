import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import {
  createRunFolder,
  endStaleProcesses,
  removeRunFolder,
  staleRunFolders,
} from './helpers/run-folder.ts'

test.skipIf(process.platform !== 'linux')(
  'what a killed run left goes: its processes, its mounts, its folder',
  async () => {
    const folder = await createRunFolder()
    const owner = spawn('true')
    await once(owner, 'exit')
    await writeFile(join(folder, 'owner'), String(owner.pid))
    const home = join(folder, 'a home')
    const small = join(home, 'small')
    await mkdir(small, { recursive: true })
    // Only root may mount; the processes are looked at in any case.
    if (process.getuid?.() === 0)
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'none', small])
    const left = [
      idle(['-e', 'setInterval(() => {}, 1000)', join(home, 'pgbouncer.ini')], {}),
      idle(['-e', 'setInterval(() => {}, 1000)'], { env: { EARSHOT_HOME: home } }),
    ]
    const ended = left.map((child) => once(child, 'exit'))
    await Promise.all(left.map((child) => once(child, 'spawn')))
    expect(await staleRunFolders()).toContain(folder)
    await endStaleProcesses(folder)
    await removeRunFolder(folder)
    expect(existsSync(folder)).toBe(false)
    expect((await Promise.all(ended)).map(([, signal]) => signal)).toEqual(
      left.map(() => 'SIGKILL'),
    )
  },
)

function idle(args: string[], options: { env?: NodeJS.ProcessEnv }): ChildProcess {
  return spawn(process.execPath, args, { stdio: 'ignore', ...options })
}
