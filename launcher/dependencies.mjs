// The packages from pnpm-lock.yaml, installed once for each state of the lock file.
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { certificateHint, childEnvironment, faultIn, LauncherError, run } from './child.mjs'
import { findTool, installTool, root } from './tool.mjs'

/**
 * Inside node_modules, so that anyone who deletes that folder deletes the claim that it is
 * complete.
 */
const STAMP = join(root, 'node_modules', '.earshot-stamp')

/** Whether what is installed is what the lock file asks for, on this Node's platform. */
export function dependenciesReady() {
  if (!existsSync(STAMP) || readFileSync(STAMP, 'utf8') !== stamp()) return false
  return workspaces().every((folder) => existsSync(join(folder, 'node_modules')))
}

/**
 * Installs the dependencies where the lock file, a package.json or the platform changed. Call it
 * under the lock.
 *
 * @param {string} node the Node that will run Earshot
 * @throws LauncherError with pnpm's own words when it fails
 */
export async function ensureDependencies(node) {
  if (dependenciesReady()) return
  const pnpm = findTool('pnpm') ?? (await installTool('pnpm'))
  // CI: pnpm must not ask, also where it has to replace a node_modules of other making.
  const env = childEnvironment({ path: [dirname(node), dirname(pnpm)], set: { CI: 'true' } })
  const { ok, output } = await run(pnpm, ['install', '--frozen-lockfile'], {
    doing: 'installing dependencies',
    cwd: root,
    env,
  })
  if (!ok)
    throw new LauncherError(
      `pnpm could not install the dependencies: ${faultIn(output)}\n${output.trim()}${certificateHint(output)}`,
    )
  writeFileSync(`${STAMP}.new`, stamp())
  renameSync(`${STAMP}.new`, STAMP)
}

function stamp() {
  const hash = createHash('sha256')
  const manifests = [root, ...workspaces()].map((folder) => join(folder, 'package.json'))
  for (const file of [
    ...manifests,
    join(root, 'pnpm-lock.yaml'),
    join(root, 'pnpm-workspace.yaml'),
  ])
    hash.update(readFileSync(file))
  // Some packages bring programs made for one platform: the folder may be shared between two
  // systems.
  return `${hash.digest('hex')} ${process.platform}-${process.arch}\n`
}

/** The folders of the workspace, as pnpm-workspace.yaml names them. */
function workspaces() {
  const packages = join(root, 'packages')
  const inside = readdirSync(packages).map((name) => join(packages, name))
  return [...inside, join(root, 'test')].filter((folder) =>
    existsSync(join(folder, 'package.json')),
  )
}
