// All set-up that Earshot needs to run, done once and then only checked.
import { join } from 'node:path'
import { say } from './child.mjs'
import { dependenciesReady, ensureDependencies } from './dependencies.mjs'
import { withLock } from './lock.mjs'
import { ensureNode, findNode } from './node.mjs'
import { ensurePrograms } from './system.mjs'
import { tools } from './tool.mjs'

/**
 * Makes this folder ready: Node, dependencies, system programs. What is there already costs only a
 * look.
 *
 * @param {{ yes: boolean, retry?: boolean }} options yes: the user allowed the system's package
 *   manager; retry: also try again what that package manager could not install the last time
 * @returns {Promise<string>} the Node to run Earshot with
 */
export async function prepare({ yes, retry = false }) {
  // Side by side: they share nothing, and on a bare machine each takes about half a minute.
  const [packages, programs] = await Promise.allSettled([
    prepareNode(),
    ensurePrograms({ yes, retry }),
  ])
  if (packages.status === 'rejected') throw packages.reason
  if (programs.status === 'rejected') throw programs.reason
  programs.value.forEach(say)
  return packages.value
}

async function prepareNode() {
  const node = findNode()
  if (node !== undefined && dependenciesReady()) return node
  return withLock(join(tools, 'setup.lock'), async () => {
    const found = await ensureNode()
    await ensureDependencies(found)
    return found
  })
}

/**
 * Takes `--yes` out of the arguments. npm keeps it for itself in `npm start --yes` and tells it
 * only in its environment.
 *
 * @param {string[]} args
 */
export function readYes(args) {
  const yes = args.includes('--yes') || process.env.npm_config_yes === 'true'
  return { yes, rest: args.filter((arg) => arg !== '--yes') }
}
