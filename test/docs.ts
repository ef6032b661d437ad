// pnpm docs: writes the tables of routes in docs/http.md and docs/openai.md as the routes are.
import { readFileSync, writeFileSync } from 'node:fs'
import { withRouteTables } from './helpers/route-tables.ts'

for (const page of ['http', 'openai']) {
  const file = new URL(`../docs/${page}.md`, import.meta.url)
  writeFileSync(file, withRouteTables(readFileSync(file, 'utf8')))
}
