import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const LAUNCHER = new URL('../launcher/', import.meta.url).href
let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'earshot launcher '))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

describe('what was never set up', () => {
  test('the earshot command says in one line what to do, and fails', async () => {
    await mkdir(join(folder, 'packages/cli'), { recursive: true })
    await cp(join(ROOT, 'packages/cli/bin'), join(folder, 'packages/cli/bin'), { recursive: true })
    await cp(join(ROOT, 'launcher'), join(folder, 'launcher'), { recursive: true })
    const ran = promisify(execFile)(process.execPath, [
      join(folder, 'packages/cli/bin/earshot.mjs'),
      'jobs',
    ])
    await expect(ran).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^earshot: .*npm run setup.*\n$/),
    })
  })

  test('set-up refuses what it does not know, and says what helps where a proxy reads along', async () => {
    const ran = promisify(execFile)(process.execPath, [join(ROOT, 'launcher/setup.mjs'), '--yse'])
    await expect(ran).rejects.toMatchObject({
      code: 1,
      stderr: 'earshot: setup knows no --yse; it takes --yes alone:  npm run setup -- --yes\n',
    })
    const hints = await runScript(`import { certificateHint } from '${LAUNCHER}child.mjs'
      console.log([certificateHint('npm error reason: self-signed certificate in certificate chain'), certificateHint('npm error 404')].join('|'))`)
    expect(hints).toMatch(/NODE_EXTRA_CA_CERTS=.*\|\n$/)
  })

  test.skipIf(process.platform !== 'linux')(
    'missing programs are named with one command, and set-up goes on',
    async () => {
      const stdout = await runScript(
        `import { ensurePrograms } from '${LAUNCHER}system.mjs'
       process.getuid = () => 1000
       console.log((await ensurePrograms({ yes: false, retry: true })).join('\\n'))`,
        { PATH: await folderWith('apt-get', 'sudo') },
      )
      expect(stdout).toMatch(/not on this machine: ffmpeg \(decodes recordings\), pocketsphinx/)
      expect(stdout).toMatch(
        /run: {2}sudo apt-get install .*ffmpeg pocketsphinx pocketsphinx-en-us flite espeak-ng inotify-tools\n$/,
      )
    },
  )
})

test('npm start refuses a taken port before any set-up', async () => {
  await cp(join(ROOT, 'launcher'), join(folder, 'launcher'), { recursive: true })
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const { port } = taken.address() as AddressInfo
  const ran = promisify(execFile)(process.execPath, [join(folder, 'launcher/start.mjs')], {
    env: { ...process.env, EARSHOT_PORT: String(port) },
  })
  await expect(ran).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringMatching(`^earshot: Port ${port} of this machine is taken.*\n$`),
  })
  taken.close()
})

describe('the lock', () => {
  test('lets one in after the other', async () => {
    const log = join(folder, 'log')
    await Promise.all([1, 2, 3].map(() => runScript(lockedScript(log))))
    expect(await readFile(log, 'utf8')).toBe('in out '.repeat(3))
  })

  test('is taken over from a holder that was killed', async () => {
    const holder = startScript(`import { withLock } from '${LAUNCHER}lock.mjs'
      await withLock(${JSON.stringify(join(folder, 'lock'))}, async () => { console.log('held'); await new Promise(() => setInterval(() => {}, 1000)) })`)
    await said(holder, 'held')
    holder.kill('SIGKILL')
    await once(holder, 'exit')
    await Promise.all([1, 2].map(() => runScript(lockedScript(join(folder, 'log')))))
    expect(await readFile(join(folder, 'log'), 'utf8')).toBe('in out in out ')
  })
})

describe.skipIf(process.platform === 'win32')('the child in the foreground', () => {
  test('gets a signal once that came twice at one keypress, and its exit code is passed on', async () => {
    const child = join(folder, 'child.mjs')
    await writeFile(
      child,
      `process.on('SIGINT', () => console.log('interrupted'))
       process.on('SIGTERM', () => process.exit(7))
       console.log('ready')
       setInterval(() => {}, 1000)`,
    )
    const parent = startScript(`import { foreground } from '${LAUNCHER}foreground.mjs'
      process.exitCode = await foreground(process.execPath, [${JSON.stringify(child)}], { sameKeypressMs: 60_000 })`)
    const heard = everything(parent)
    await said(parent, 'ready')
    parent.kill('SIGINT')
    await said(parent, 'interrupted')
    parent.kill('SIGINT')
    parent.kill('SIGTERM')
    const [code] = await once(parent, 'close')
    expect({ code, heard: heard() }).toEqual({ code: 7, heard: 'ready\ninterrupted\n' })
  })

  test('is told when its launcher is killed, and when the npm above it is', async () => {
    const child = join(folder, 'child.mjs')
    await writeFile(
      child,
      `process.on('disconnect', () => { console.log('disconnected'); process.exit() })
       process.on('SIGTERM', () => { console.log('terminated'); process.exit() })
       console.log('ready')
       setInterval(() => {}, 1000)`,
    )
    const launch = `import { foreground } from '${LAUNCHER}foreground.mjs'
      process.exitCode = await foreground(process.execPath, [${JSON.stringify(child)}], { outlivesUs: false })`
    const launcher = startScript(launch)
    const said1 = said(launcher, 'disconnected')
    await said(launcher, 'ready')
    launcher.kill('SIGKILL')
    await said1

    const npm = startScript(`import { spawn } from 'node:child_process'
      spawn(process.execPath, ['--input-type=module', '--eval', ${JSON.stringify(launch)}],
        { stdio: 'inherit', env: { ...process.env, npm_command: 'exec' } })
      setInterval(() => {}, 1000)`)
    const said2 = said(npm, 'terminated')
    await said(npm, 'ready')
    npm.kill('SIGKILL')
    await said2
  })
})

test('pnpm is pinned to the version that package.json names', async () => {
  const { packageManager } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'))
  const stdout = await runScript(`import { TOOLS } from '${LAUNCHER}pinned-tools.mjs'
    console.log('pnpm@' + TOOLS.pnpm['linux-x64'].version)`)
  expect(stdout.trim()).toBe(packageManager)
})

test('a tool whose content has another checksum is refused, and nothing is installed', async () => {
  const stdout = await runScript(`import { installTool, tools } from '${LAUNCHER}tool.mjs'
    import { TOOLS } from '${LAUNCHER}pinned-tools.mjs'
    import { mkdirSync } from 'node:fs'
    mkdirSync(tools, { recursive: true })
    // The smallest package there is, under the checksum of another one.
    const wrong = { name: 'is-number', version: '7.0.0', integrity: TOOLS.pnpm['linux-x64'].integrity, program: 'index.js' }
    await installTool('pnpm', wrong).catch((error) => console.log(error.message))`)
  expect(stdout).toMatch(
    /^What arrived has another checksum than launcher\/pinned-tools\.mjs names/,
  )
})

test('Node runs TypeScript from 22.18, and from 23.6', async () => {
  const versions = [
    '18.0.0',
    '20.20.2',
    '22.17.9',
    '22.18.0',
    '23.5.0',
    '23.6.0',
    '24.0.0',
    '100.1.0',
  ]
  const stdout = await runScript(`import { fits } from '${LAUNCHER}node.mjs'
    console.log(JSON.stringify(${JSON.stringify(versions)}.filter(fits)))`)
  expect(JSON.parse(stdout)).toEqual(['22.18.0', '23.6.0', '24.0.0', '100.1.0'])
})

test('what npm put into the environment for itself does not reach children', async () => {
  const stdout = await runScript(
    `import { childEnvironment } from '${LAUNCHER}child.mjs'
     console.log(Object.keys(childEnvironment()).filter((name) => /^npm_(config|lifecycle|package)/.test(name)))`,
    { npm_config_prefix: '/elsewhere', npm_lifecycle_event: 'start', npm_package_name: 'x' },
  )
  expect(stdout).toBe('[]\n')
})

/**
 * Holds the lock for as long as two lines take, 50 ms apart: overlapping holders would mix theirs.
 */
function lockedScript(log: string): string {
  return `import { appendFileSync } from 'node:fs'
    import { setTimeout as sleep } from 'node:timers/promises'
    import { withLock } from '${LAUNCHER}lock.mjs'
    await withLock(${JSON.stringify(join(folder, 'lock'))}, async () => {
      appendFileSync(${JSON.stringify(log)}, 'in ')
      await sleep(50)
      appendFileSync(${JSON.stringify(log)}, 'out ')
    })`
}

function startScript(script: string, env: Record<string, string> = {}): ChildProcess {
  const args = ['--input-type=module', '--eval', script]
  return spawn(process.execPath, args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

async function runScript(script: string, env: Record<string, string> = {}): Promise<string> {
  const child = startScript(script, env)
  const heard = everything(child)
  const [code] = await once(child, 'close')
  expect(code).toBe(0)
  return heard()
}

function everything(child: ChildProcess): () => string {
  let text = ''
  child.stdout?.setEncoding('utf8').on('data', (part: string) => (text += part))
  return () => text
}

/** Resolves when the child prints this word. */
async function said(child: ChildProcess, word: string): Promise<void> {
  for (;;) {
    const [part] = (await once(child.stdout!, 'data')) as [string | Buffer]
    if (part.toString().includes(word)) return
  }
}

/** A PATH that holds nothing but programs of these names. */
async function folderWith(...programs: string[]): Promise<string> {
  const place = join(folder, 'bin')
  await mkdir(place)
  for (const name of programs) await writeFile(join(place, name), '#!/bin/sh\n', { mode: 0o755 })
  return place
}
