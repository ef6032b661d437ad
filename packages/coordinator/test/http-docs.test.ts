import { readdirSync, readFileSync } from 'node:fs'
import { ERRORS } from '@earshot/shared/contract'
import { expect, test } from 'vitest'

const text = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8')

test('docs/errors.md lists each error of the catalogue as it is', () => {
  const rows = text('../../../docs/errors.md').split('\n').filter((line) => line.startsWith('| `'))
  expect(rows).toEqual(Object.entries(ERRORS).map(([code, { status, about }]) => `| \`${code}\` | ${status} | ${about} |`))
})

test('docs/http.md lists each route that there is', () => {
  const folder = new URL('../src/http/', import.meta.url)
  const sources = readdirSync(folder).filter((name) => name.endsWith('.ts')).map((name) => readFileSync(new URL(name, folder), 'utf8'))
  const routes = sources.flatMap((source) => [...source.matchAll(/(?:app|scope)\.(get|post)(?:<[^(]*>)?\('([^']+)'/g)].map(([, method, path]) => `${method!.toUpperCase()} ${path}`))
  const listed = [...text('../../../docs/http.md').matchAll(/^\| `([A-Z]+ [^`]+)`/gm)].map(([, route]) => route)
  expect(routes.length).toBeGreaterThan(15)
  expect(listed.toSorted()).toEqual(routes.toSorted())
})
