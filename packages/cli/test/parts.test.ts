import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { createOutput } from '../src/output.ts'
import { nodeId } from '@earshot/shared/config/node-id'
import { ago, bytes, clock, duration, safe, table } from '../src/wording.ts'
import { emptyFolder } from './helpers/run.ts'

describe('the id of a node', () => {
  test('is drawn once and kept, and different for boxes of one name', () => {
    const home = path.join(emptyFolder(), 'home')
    const id = nodeId(home, 'RaspberryPi.local', true)
    expect(id).toMatch(/^raspberrypi-[0-9a-f]{4}$/)
    expect(nodeId(home, 'renamed', true)).toBe(id)
    expect(readFileSync(path.join(home, 'node-id'), 'utf8')).toBe(`${id}\n`)
  })

  test('is not written down by a command that joins nothing', () => {
    const home = emptyFolder()
    nodeId(home, 'box', false)
    expect(() => readFileSync(path.join(home, 'node-id'))).toThrow('ENOENT')
  })

  test('is drawn anew where the file is spoilt', () => {
    const home = emptyFolder()
    mkdirSync(home, { recursive: true })
    writeFileSync(path.join(home, 'node-id'), '')
    const id = nodeId(home, '…', true)
    expect(id).toMatch(/^node-[0-9a-f]{4}$/)
    expect(nodeId(home, '…', true)).toBe(id)
  })
})

describe('words', () => {
  test.each([
    [0, '00:00'],
    [65.9, '01:05'],
    [3723, '1:02:03'],
  ])('%d s into a recording is %s', (seconds, text) => expect(clock(seconds)).toBe(text))
  test.each([
    [0.44, '0.4 s'],
    [12, '12 s'],
    [200, '3 min 20 s'],
    [180, '3 min'],
    [7500, '2 h 5 min'],
  ])('%d s are %s', (seconds, text) => expect(duration(seconds)).toBe(text))
  test.each([
    [512, '512 bytes'],
    [3_440_000, '3.4 MB'],
    [999_999, '1000 kB'],
    [20e9, '20 GB'],
  ])('%d bytes are %s', (count, text) => expect(bytes(count)).toBe(text))
  test.each([
    [-5, 'now'],
    [0.5, 'now'],
    [59, '59 s ago'],
    [61, '1 min ago'],
    [200_000, '2 d ago'],
  ])('%d s ago reads %s', (seconds, text) => {
    const now = Date.parse('2025-01-02T03:04:05Z')
    expect(ago(new Date(now - seconds * 1000).toISOString(), now)).toBe(text)
  })

  test('columns line up whatever their colours', () => {
    expect(
      table(
        ['A', 'LONGER', ''],
        [
          ['\u001b[31mred\u001b[0m', 'x', 'end'],
          ['b', 'y', ''],
        ],
      ),
    ).toEqual(['A    LONGER', '\u001b[31mred\u001b[0m  x       end', 'b    y'])
  })

  test('text from outside cannot steer the terminal', () => {
    expect(safe('a\n\tb\u001b]0;title\u0007\u202ec')).toBe('a b\ufffd]0;title\ufffd\ufffdc')
  })
})

describe('colours', () => {
  const painted = (settings: { isTTY?: boolean; json?: boolean; noColor?: boolean }) =>
    createOutput(
      { write: () => true, isTTY: settings.isTTY ?? false },
      { write: () => true },
      { json: settings.json ?? false, noColor: settings.noColor ?? false },
    ).red('x')

  test('are for terminals only, and not where NO_COLOR is set', () => {
    expect(painted({ isTTY: true })).toBe('\u001b[31mx\u001b[0m')
    expect([
      painted({}),
      painted({ isTTY: true, noColor: true }),
      painted({ isTTY: true, json: true }),
    ]).toEqual(['x', 'x', 'x'])
  })
})
