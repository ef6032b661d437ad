import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { matches, meets, unmet } from '../src/lanes.ts'

const node = {
  id: 'attic',
  roles: ['tts'],
  tags: { gpu: 'nvidia-3060', vram_gb: 12, fast: true, spare: false },
}
const lacks = (requires: Parameters<typeof unmet>[1]['requires'], role = 'tts') =>
  unmet(node, { role, requires })

describe('what a node lacks for a lane', () => {
  test('is named: a role, a tag, a value, a bound', () => {
    expect(lacks({}, 'stt_batch')).toEqual(['role stt_batch missing'])
    expect(lacks({ tpu: true })).toEqual(['tag tpu missing'])
    expect(lacks({ spare: true })).toEqual(['tag spare missing'])
    expect(lacks({ gpu: false })).toEqual(['tag gpu is nvidia-3060'])
    expect(lacks({ gpu: 'amd-*' })).toEqual(['tag gpu is nvidia-3060, not amd-*'])
    expect(lacks({ vram_gb: { '>=': 16 } })).toEqual(['tag vram_gb 12 < 16'])
    expect(lacks({ gpu: { '>=': 16 } })).toEqual(['tag gpu nvidia-3060 is no number'])
    expect(lacks({ node: { not: 'attic' } })).toEqual(['tag node is attic'])
    expect(lacks({ gpu: { not: 'nvidia-*' } })).toEqual(['tag gpu is nvidia-3060'])
    expect(lacks({ node: 'cellar' })).toEqual(['tag node is attic, not cellar'])
  })
  test('is nothing where all needs are met', () => {
    expect(
      lacks({
        gpu: 'nvidia-*',
        vram_gb: { '>=': 8, '<': 13 },
        fast: true,
        tpu: { not: 'v5' },
        node: { not: 'cellar' },
      }),
    ).toEqual([])
    expect(meets(node, { role: 'tts', requires: { vram_gb: 12 } })).toBe(true)
  })
  test('malformed needs are not met and are named', () => {
    const needs: unknown[] = [
      { vram_gb: { min: 8 } },
      { vram_gb: { toString: 8 } },
      { vram_gb: { '>=': 'x' } },
      { vram_gb: null },
      { vram_gb: [8] },
      { vram_gb: { not: null } },
      [8],
      null,
      'x',
    ]
    for (const requires of needs as Parameters<typeof lacks>[0][]) {
      expect(meets(node, { role: 'tts', requires })).toBe(false)
      expect(lacks(requires).join()).toMatch(/malformed/)
    }
  })
  test('malformed tags meet nothing that is asked of them', () => {
    for (const tags of [null, 8, [8], { vram_gb: { toString: 1 } }, { vram_gb: null }])
      expect(
        meets(
          { roles: ['tts'], tags: tags as never },
          { role: 'tts', requires: { vram_gb: { '>=': 8 } } },
        ),
      ).toBe(false)
  })
  test('what every object has is no tag', () => {
    expect(meets(node, { role: 'tts', requires: { toString: true } })).toBe(false)
  })
  test('a number is not its text', () => {
    expect(meets(node, { role: 'tts', requires: { vram_gb: '12' } })).toBe(false)
  })
})

describe('patterns', () => {
  test('agree with a regular expression in which only * is special', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', '.', '*'), maxLength: 12 })
    fc.assert(
      fc.property(letters, letters, (text, pattern) => {
        const source = pattern
          .split('*')
          .map((part) => part.replace(/\./g, '\\.'))
          .join('.*')
        expect(matches(text, pattern)).toBe(new RegExp(`^${source}$`, 's').test(text))
      }),
    )
  })
})
