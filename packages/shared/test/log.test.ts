import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { createLog, maskSecrets, type LogSettings } from '@earshot/shared/log'
import { expect, test } from 'vitest'

function logging(settings: Partial<LogSettings> = {}) {
  const lines: string[] = []
  const log = createLog({
    level: 'info',
    destination: { write: (line) => lines.push(line) },
    human: true,
    ...settings,
  })
  return { log, lines }
}

test('secrets never get into a line, wherever in it they are', () => {
  const { log, lines } = logging({ human: false, secrets: ['open "sesame"', undefined] })
  log.info(
    {
      err: new Error('connect postgres://ada:hunter2@db/mesh failed'),
      key: 'abc',
      nested: { password: 'x1y2' },
      headers: { authorization: 'Bearer q9' },
    },
    'the key is open "sesame"',
  )
  log.info('GET /v1/media/ab?expires=1&signature=deadbeef')
  expect(lines.join('')).not.toMatch(/hunter2|abc|x1y2|q9|sesame|deadbeef/)
  expect(lines.join('')).toContain('postgres://ada:***@db/mesh')
})

test('machines get JSON, people one line without a stack', () => {
  const json = logging({ human: false })
  json.log.warn({ file: 'a.wav' }, 'cannot read')
  expect(JSON.parse(json.lines[0] ?? '')).toMatchObject({
    level: 40,
    file: 'a.wav',
    msg: 'cannot read',
  })
  const { log, lines } = logging()
  log
    .child({ part: 'inbox' })
    .warn({ err: new Error('no such file'), file: 'a.wav' }, 'cannot read')
  expect(lines).toEqual([
    expect.stringMatching(
      /^\d\d:\d\d:\d\d warn {2}inbox: cannot read: no such file file=a\.wav\n$/,
    ),
  ])
})

test('file names from outside neither break the line nor steer the terminal', () => {
  const { log, lines } = logging()
  log.info({ file: 'a\nb\u001b[2Jc\u009b' }, 'took in x\ny')
  expect(lines[0]).toMatch(/took in x\\ny file=a\\nb\\x1b\[2Jc\\x9b\n$/)
})

test('the level holds back what is below it', () => {
  const { log, lines } = logging({ level: 'warn' })
  log.info('held back')
  expect(lines).toEqual([])
})

test('addresses without a password stay as they are', () => {
  expect(maskSecrets('postgres://ada@db:5432/mesh http://127.0.0.1:7700/a@b')).toBe(
    'postgres://ada@db:5432/mesh http://127.0.0.1:7700/a@b',
  )
})

test('a password is masked whatever stands before its address', () => {
  expect(maskSecrets('1postgres://ada:hunter2@db x-://:b@c')).toBe(
    '1postgres://ada:***@db x-://:***@c',
  )
})

test('a line of long words is masked in a time that grows with its length alone', async () => {
  const module = JSON.stringify(new URL('../src/log.ts', import.meta.url).href)
  // In a process of its own: a pattern that backtracks would hold up the test runner.
  const mask = `const { maskSecrets } = await import(${module})
    for (const part of ['a', 'a:', '://', '://a:', '?a', '?-key'])
      maskSecrets(part.repeat(200_000))
    console.log('masked')`
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--input-type=module', '-e', mask],
    { timeout: 20_000 },
  )
  expect(stdout).toBe('masked\n')
}, 30_000)
