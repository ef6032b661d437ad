import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { init, parse } from 'es-module-lexer'
import { beforeAll, describe, expect, test } from 'vitest'

/** Which packages a package may import from, besides itself (see CONTRIBUTING.md). */
const MAY_IMPORT: Record<string, readonly string[]> = {
  contract: [],
  sdk: ['contract'],
  db: ['contract'],
  shared: ['contract', 'db'],
  coordinator: ['contract', 'db', 'shared'],
  worker: ['contract', 'db', 'shared'],
  cli: ['contract', 'db', 'shared', 'sdk', 'coordinator', 'worker'],
}
/**
 * The rooms of a package, the lowest first: a file imports only from its own room and from those
 * before it.
 */
const ROOMS: Record<string, readonly string[]> = {
  coordinator: [
    'queries',
    'events',
    'routing',
    'why',
    'models',
    'metrics',
    'jobs',
    'search',
    'inbox',
    'leader',
    'http',
  ],
  worker: ['process', 'text', 'audio', 'models', 'engines', 'media', 'kinds'],
}
/**
 * The composition roots: the only files that know the process they run in. The second is a user's
 * own main program in one call.
 */
const MAINS = ['packages/cli/src/main.ts', 'packages/worker/src/run-worker.ts']
const ROOT = fileURLToPath(new URL('..', import.meta.url))

type SourceFile = { path: string; text: string; code: string; imports: string[] }
const files = new Map<string, SourceFile>()

beforeAll(async () => {
  // The type of `init` says it may be undefined once it is done.
  await Promise.resolve(init)
  for (const path of sourceFiles()) files.set(path, read(path))
})

describe('the rooms of the house', () => {
  test('every package is known to this test', () => {
    expect(files.size).toBeGreaterThan(50)
    // Were imports not found at all, every test below would pass.
    expect(eachImport(() => true).length).toBeGreaterThan(files.size)
    expect([...files.keys()].filter((path) => MAY_IMPORT[packageOf(path)] === undefined)).toEqual(
      [],
    )
  })

  test('a room imports only from the rooms below it', () => {
    const wrong = eachImport((file, target) => {
      const [from, to] = [packageOf(file.path), packageOf(target)]
      return from !== to && MAY_IMPORT[from]?.includes(to) !== true
    })
    expect(wrong).toEqual([])
  })

  test('inside a package, no arrow runs up', () => {
    const wrong = eachImport((file, target) => {
      const [from, to] = [rankOf(file.path), rankOf(target)]
      return packageOf(file.path) === packageOf(target) && from !== -1 && to > from
    })
    expect(wrong).toEqual([])
    for (const [name, rooms] of Object.entries(ROOMS))
      expect(foldersOf(name), name).toEqual(rooms.toSorted())
  })

  test('the contract stands on zod alone, and the SDK runs in a browser too', () => {
    const wrong = [...files.values()].flatMap(({ path, imports }) =>
      imports
        .filter((name) => {
          if (name.startsWith('.') || name.startsWith('@earshot/')) return false
          if (packageOf(path) === 'contract') return name !== 'zod'
          return packageOf(path) === 'sdk' && /^(node:|pg$)/.test(name)
        })
        .map((name) => `${path} imports ${name}`),
    )
    expect(wrong).toEqual([])
  })

  test('every page that a file names is there', () => {
    const named = [...files.values()].flatMap(({ path, text }) =>
      [...text.matchAll(/docs\/[\w/-]+\.(?:md|svg)/g)].map(([page]) => ({ path, page })),
    )
    expect(named.length).toBeGreaterThan(10)
    expect(named.filter(({ page }) => !existsSync(join(ROOT, page)))).toEqual([])
  })

  test('every link within the documents leads to a file', () => {
    const pages = [
      'README.md',
      'CONTRIBUTING.md',
      ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.md'))
        .map((name) => join('docs', name)),
    ]
    const links = pages.flatMap((page) =>
      [...readFileSync(join(ROOT, page), 'utf8').matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)].map(
        ([, to]) => ({ page, to: to! }),
      ),
    )
    expect(links.length).toBeGreaterThan(20)
    expect(links.filter(({ page, to }) => !existsSync(join(ROOT, dirname(page), to)))).toEqual([])
  })

  test('every import between rooms leads to a file', () => {
    expect(eachImport((_, target) => target.endsWith('.ts') && !files.has(target))).toEqual([])
  })

  test('no file imports itself by a detour', () => {
    expect(cycles()).toEqual([])
  })

  test('only the composition roots read environment, arguments and signals', () => {
    const wrong = [...files.values()].flatMap(({ path, code, imports }) => {
      if (MAINS.includes(path)) return []
      const used =
        code.match(/\bprocess\s*\.\s*(env|argv|exit\b|(on|once|addListener)\(\s*['"`]SIG\w+)/g) ??
        []
      return [...used, ...imports.filter((name) => name === 'node:process')].map(
        (what) => `${path}: ${what}`,
      )
    })
    expect(wrong).toEqual([])
  })
})

/** Paths from the root, with forward slashes, of all TypeScript in packages/<package>/src. */
function sourceFiles(): string[] {
  return readdirSync(join(ROOT, 'packages')).flatMap((name) =>
    readdirSync(join(ROOT, 'packages', name, 'src'), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts'))
      .map((file) => `packages/${name}/src/${file.split(sep).join('/')}`),
  )
}

function read(path: string): SourceFile {
  const source = readFileSync(join(ROOT, path), 'utf8')
  // Imports of types count too: a room that knows another's types knows the room.
  const [imports] = parse(source)
  return {
    path,
    text: source,
    code: withoutComments(source),
    imports: imports.flatMap(({ specifier }) => specifier ?? []),
  }
}

/** Without whole-line comments: the prose may name what the code may not use. */
function withoutComments(source: string): string {
  return source.replace(/^\s*(\/\*\*?.*|\*.*|\/\/.*)$/gm, '')
}

function packageOf(path: string): string {
  return path.split('/')[1] ?? ''
}

/** Where a file's room stands in its package's order; -1 for files outside of the rooms. */
function rankOf(path: string): number {
  return ROOMS[packageOf(path)]?.indexOf(path.split('/')[3] ?? '') ?? -1
}

function foldersOf(name: string): string[] {
  const paths = [...files.keys()].filter((path) => packageOf(path) === name)
  return [...new Set(paths.flatMap((path) => path.split('/').slice(3, -1).slice(0, 1)))].toSorted()
}

/** The file that an import leads to, or undefined for a package from outside. */
function target(from: string, name: string): string | undefined {
  if (name.startsWith('.'))
    return relative(ROOT, resolve(ROOT, dirname(from), name))
      .split(sep)
      .join('/')
  const [, room, inside] =
    /^(?:@earshot\/)?(contract|db|shared|coordinator|worker|sdk|earshot)(?:\/(.+))?$/.exec(name) ??
    []
  if (room === undefined) return undefined
  return `packages/${room === 'earshot' ? 'cli' : room}/src/${inside ?? 'index'}.ts`
}

function eachImport(isWrong: (file: SourceFile, target: string) => boolean): string[] {
  return [...files.values()].flatMap((file) =>
    targets(file)
      .filter((to) => isWrong(file, to))
      .map((to) => `${file.path} → ${to}`),
  )
}

function targets(file: SourceFile): string[] {
  return file.imports.flatMap((name) => target(file.path, name) ?? [])
}

/** Each cycle once, as the path that closes it. */
function cycles(): string[] {
  const found: string[] = []
  const done = new Set<string>()
  const visit = (path: string, trail: string[]): void => {
    const at = trail.indexOf(path)
    if (at >= 0) found.push([...trail.slice(at), path].join(' → '))
    if (at >= 0 || done.has(path)) return
    const file = files.get(path)
    if (file !== undefined) targets(file).forEach((next) => visit(next, [...trail, path]))
    done.add(path)
  }
  for (const path of files.keys()) visit(path, [])
  return found
}
