import { readFileSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { endedBadly, runProgram } from '../src/process/run-program.ts'
import { errorOf, tempFolder } from './helpers/media.ts'

const dir = await tempFolder()
const node = (script: string) => ({
  program: process.execPath,
  args: ['-e', script],
  quietLimitS: 30,
})
/**
 * Whether a process still runs. One that has ended but was not yet asked after (Z in /proc, where
 * there is one) does not.
 */
function runs(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return process.platform !== 'linux' || !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false // gone
  }
}

test('a program that does not exist is said to be missing, with limits and without', async () => {
  expect(
    await errorOf(runProgram({ program: 'earshot-no-such-program', args: [], quietLimitS: 5 })),
  ).toMatchObject({ code: 'EARSHOT_ENGINE_MISSING' })
  expect(
    await errorOf(
      runProgram({
        program: 'earshot-no-such-program',
        args: [],
        quietLimitS: 5,
        limits: { cpuS: 5 },
      }),
    ),
  ).toMatchObject({ code: 'EARSHOT_ENGINE_MISSING' })
})

test('a program that falls silent is ended, and the error says so', async () => {
  const error = await errorOf(
    runProgram({ ...node('console.log(1); setInterval(() => {}, 1000)'), quietLimitS: 0.5 }),
  )
  expect(error).toMatchObject({
    code: 'EARSHOT_ENGINE_FAILED',
    message: expect.stringContaining('no sign of life for 0.5 s'),
  })
})

test('a program that keeps talking is not hung', async () => {
  const script =
    'let n = 0; const t = setInterval(() => { console.error(++n); if (n === 8) clearInterval(t) }, 250)'
  expect((await runProgram({ ...node(script), quietLimitS: 1.5 })).code).toBe(0)
})

test.runIf(process.platform !== 'win32')(
  'an abort ends a program that does not listen to SIGTERM, with what it started, and throws the reason',
  async () => {
    const abort = new AbortController()
    const reason = new Error('cancelled')
    const pids: number[] = []
    const child =
      'process.on("SIGTERM", () => {}); console.log(process.pid); setInterval(() => {}, 1000)'
    const parent = `require("child_process").spawn(process.execPath, ["-e", ${JSON.stringify(child)}], { stdio: "inherit" }); ${child}`
    const run = runProgram({
      ...node(parent),
      signal: abort.signal,
      onLine: (line) => {
        pids.push(Number(line))
        if (pids.length === 2) abort.abort(reason)
      },
    })
    await expect(run).rejects.toBe(reason)
    // One whose parent ended too is there until the system has taken note of its end.
    await expect.poll(() => pids.filter(runs), { timeout: 30_000, interval: 20 }).toEqual([])
  },
)

test('a signal that has already fired starts nothing', async () => {
  await expect(
    runProgram({ ...node('process.exit(0)'), signal: AbortSignal.abort(new Error('over')) }),
  ).rejects.toThrow('over')
})

test('what a reader of lines throws ends the program and comes out', async () => {
  const run = runProgram({
    ...node('console.log("bad"); setInterval(() => {}, 1000)'),
    onLine: (line) => {
      throw new Error(`cannot read ${line}`)
    },
  })
  await expect(run).rejects.toThrow('cannot read bad')
})

test('lines are read whole however they are cut, and one without end ends the program', async () => {
  const lines: string[] = []
  const pieces = ['one\r', '\ntw', 'o\n\nth', 'ree']
  const script = `(async () => { for (const piece of ${JSON.stringify(pieces)}) { process.stdout.write(piece); await new Promise((r) => setTimeout(r, 30)) } })()`
  await runProgram({ ...node(script), onLine: (line) => lines.push(line) })
  expect(lines).toEqual(['one', 'two', '', 'three'])
  const endless = runProgram({
    ...node('const more = () => process.stdout.write("x".repeat(65536), more); more()'),
    onLine: () => {},
  })
  expect(await errorOf(endless)).toMatchObject({
    code: 'EARSHOT_ENGINE_FAILED',
    message: 'It printed a line without end.',
  })
})

test.runIf(process.platform === 'linux')(
  'limits of processor time, memory and output hold',
  async () => {
    const spin = await runProgram({ ...node('for (;;);'), limits: { cpuS: 1 } })
    expect(spin.code).toBeNull()
    const hoard = await runProgram({
      program: 'ffmpeg',
      args: ['-version'],
      quietLimitS: 30,
      limits: { memoryMb: 8 },
    })
    expect(hoard.code).not.toBe(0)
    const write = [
      '-e',
      'require("fs").writeFileSync(process.argv[1], Buffer.alloc(1e6))',
      path.join(dir, 'flood'),
    ]
    expect(
      (
        await runProgram({
          program: process.execPath,
          args: write,
          quietLimitS: 30,
          limits: { fileBytes: 1000 },
        })
      ).code,
    ).not.toBe(0)
    expect(
      (
        await runProgram({
          program: process.execPath,
          args: write,
          quietLimitS: 30,
          limits: { fileBytes: 2e6 },
        })
      ).code,
    ).toBe(0)
  },
)

test('the error for a bad end holds the last words and the code, and knows a full disk', async () => {
  const ended = await runProgram(
    node('console.error("first"); console.error("no model found"); process.exit(3)'),
  )
  expect(endedBadly('hearer', ended)).toMatchObject({
    code: 'EARSHOT_ENGINE_FAILED',
    message: 'hearer ended with exit code 3; its last words: no model found',
  })
  expect(
    endedBadly('hearer', { ...ended, stderr: 'out.wav: No space left on device\n' }),
  ).toMatchObject({ code: 'EARSHOT_DISK_FULL' })
})

test('arguments reach the program as they are', async () => {
  const odd = ['$(touch pwned)', 'two words', '"', "'", 'a\nb', '`id`', '; ls', '%PATH%', '']
  const { stdout } = await runProgram({
    program: process.execPath,
    args: ['-e', 'console.log(JSON.stringify(process.argv.slice(1)))', '--', ...odd],
    quietLimitS: 30,
    limits: { cpuS: 60 },
  })
  expect(JSON.parse(stdout)).toEqual(odd)
})
