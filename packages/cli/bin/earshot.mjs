#!/usr/bin/env node
// The earshot command, under whichever Node the machine has: one too old hands over to the private
// Node of `npm run setup`.
import { existsSync } from 'node:fs'
import module from 'node:module'
import { fileURLToPath } from 'node:url'

const main = new URL('../src/main.ts', import.meta.url)
const launcher = new URL('../../../launcher/', import.meta.url)

// The launcher's files run on old versions of Node; what they import does too.
if (!existsSync(new URL('node.mjs', launcher))) {
  await import(main.href)
} else {
  const { findNode, NODE_NEEDED } = await import(new URL('node.mjs', launcher).href)
  const node = findNode()
  if (node === undefined || !existsSync(new URL('../node_modules', import.meta.url))) {
    const version =
      node === undefined
        ? ` (it needs Node ${NODE_NEEDED} or newer; this is ${process.versions.node})`
        : ''
    process.stderr.write(
      `earshot: this folder is not set up yet${version}: run  npm run setup  in it first.\n`,
    )
    process.exitCode = 1
  } else if (node === process.execPath) {
    // Stripping types and compiling some 250 files is more than half of what a short command costs.
    // Not Node's own default folder: it lies in the shared temporary one, where another user could
    // put code for us to run.
    module.enableCompileCache?.(
      fileURLToPath(new URL('../../../.tools/compile-cache', import.meta.url)),
    )
    const { watchNpm } = await import(new URL('foreground.mjs', launcher).href)
    watchNpm(() => process.kill(process.pid, 'SIGTERM'))
    await import(main.href)
  } else {
    const { foreground } = await import(new URL('foreground.mjs', launcher).href)
    process.exitCode = await foreground(
      node,
      [fileURLToPath(import.meta.url), ...process.argv.slice(2)],
      { outlivesUs: false },
    )
  }
}
