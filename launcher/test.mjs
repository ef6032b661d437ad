// npm test: set-up, a PostgreSQL for the tests, the checks, then the tests; arguments go to vitest.
import { dirname, join } from 'node:path'
import { childEnvironment, LauncherError, main, say } from './child.mjs'
import { foreground } from './foreground.mjs'
import { withLock } from './lock.mjs'
import { ensureServer } from './postgres.mjs'
import { prepare, readYes } from './prepare.mjs'
import { ensureTestPrograms } from './test-programs.mjs'
import { root, tools } from './tool.mjs'

await main(async (args) => {
  const { yes, rest } = readYes(args)
  try {
    return await test(yes, rest)
  } catch (error) {
    // Anyone who counts results by program must not take a run that never began for a good one.
    process.on('exit', () => process.stdout.write('0 passed, 1 failed, 0 skipped\n'))
    throw error
  }
})

async function test(yes, args) {
  const node = await prepare({ yes })
  await seeToServer(yes)
  const env = childEnvironment({ path: [dirname(node)] })
  const inModules = (path) => join(root, 'node_modules', path)
  const check = async (what, cure, ...command) => {
    say(`checking ${what} …`)
    if ((await foreground(node, command, { env, cwd: root })) !== 0)
      throw new LauncherError(`the check of ${what} failed${cure}`)
  }
  await check('the format', ': pnpm format', inModules('oxfmt/bin/oxfmt'), '--check')
  await check('types', '', inModules('typescript/bin/tsc'), '--noEmit')
  await check('lint rules', '', inModules('oxlint/bin/oxlint'))
  await check('unused exports', '', inModules('knip/bin/knip.js'), '--no-config-hints')
  await check('the pages', '', inModules('markdownlint-cli2/markdownlint-cli2-bin.mjs'))
  return foreground(node, [inModules('vitest/vitest.mjs'), 'run', ...args], { env, cwd: root })
}

async function seeToServer(yes) {
  const server = await withLock(join(tools, 'system.lock'), () => ensureServer({ yes }))
  if (server.kind === 'local')
    await withLock(join(tools, 'system.lock'), () => ensureTestPrograms({ yes }))
  if (server.kind !== 'none') return
  if (process.env.EARSHOT_TEST_ALLOW_EMBEDDED_ONLY === '1') {
    say(`NOTHING IS TESTED ON A REAL SERVER: ${server.reason}.`)
    return
  }
  throw new LauncherError(
    `the tests need a real PostgreSQL: ${server.reason}. To test the embedded database alone: EARSHOT_TEST_ALLOW_EMBEDDED_ONLY=1 npm test`,
  )
}
