// Prints as one line of JSON which PostgreSQL the tests use; with --install it installs one where
// none is usable.
import { main } from './child.mjs'
import { readYes } from './prepare.mjs'
import { ensureServer, findServer } from './postgres.mjs'

await main(async (args) => {
  const { yes, rest } = readYes(args)
  const server = rest.includes('--install') ? await ensureServer({ yes }) : await findServer()
  process.stdout.write(`${JSON.stringify(server)}\n`)
  return 0
})
