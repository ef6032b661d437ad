import { z } from 'zod'
import type { Operation } from '../../packages/coordinator/src/http/openapi/operation.ts'
import { OPERATIONS } from '../../packages/coordinator/src/http/openapi/operations.ts'

const MARKED = /<!-- routes (.+?) -->\n[^]*?<!-- end of routes -->/g

/**
 * A page with the tables between its marks made again from the routes: `<!-- routes /v1/jobs
 * /v1/lanes -->` is followed by those whose path begins so.
 */
export function withRouteTables(page: string): string {
  return page.replace(
    MARKED,
    (_, prefixes: string) =>
      `<!-- routes ${prefixes} -->\n\n${table(prefixes.split(' '))}\n\n<!-- end of routes -->`,
  )
}

/** The routes that the marks of a page name. */
export function routesIn(page: string): string[] {
  return [...page.matchAll(MARKED)].flatMap(([, prefixes = '']) =>
    routesOf(prefixes.split(' ')).map(([route]) => route),
  )
}

const routesOf = (prefixes: string[]): [string, Operation][] =>
  Object.entries(OPERATIONS).filter(([route]) => {
    const path = route.split(' ')[1] ?? ''
    return prefixes.some((prefix) => path === prefix || path.startsWith(`${prefix}/`))
  })

function table(prefixes: string[]): string {
  const rows = routesOf(prefixes).map(
    ([route, { about, query, body, answer }]) =>
      `| \`${route}\` | ${about} | ${[...fieldsOf(query).map((name) => `\`${name}=\``), ...bodyOf(body)].join(', ') || '–'} | ${answer.status ?? 200}: ${answer.about} |`,
  )
  return ['| route | what it does | takes | answers |', '|---|---|---|---|', ...rows].join('\n')
}

const bodyOf = (body: Operation['body']): string[] =>
  body === undefined
    ? []
    : typeof body === 'string'
      ? [body === 'bytes' ? 'the bytes' : 'JSON lines']
      : fieldsOf(body).map((name) => `\`${name}\``)

function fieldsOf(schema: z.ZodType | undefined): string[] {
  if (schema instanceof z.ZodUnion) return fieldsOf(schema.options[0] as z.ZodType)
  return schema instanceof z.ZodObject ? Object.keys(schema.shape as object) : []
}
