// Which Node runs Earshot: the running one where it is new enough, else a private one in .tools.
import { findTool, installTool } from './tool.mjs'

/**
 * The oldest Node that runs TypeScript without a flag; 23 learned it later than 22 did.
 *
 * @public
 */
export const NODE_NEEDED = '22.18'

/**
 * Whether this version of Node runs TypeScript files directly. @param {string} version for example
 * '22.18.0'
 */
export function fits(version) {
  const [major, minor] = version.split('.').map(Number)
  if (major === 22) return minor >= 18
  if (major === 23) return minor >= 6
  return major >= 24
}

/** The path of the Node to run Earshot with, or undefined where one must be installed first. */
export function findNode() {
  return fits(process.versions.node) ? process.execPath : findTool('node')
}

/** As findNode, but installs a private one where needed. Call it under the lock. */
export async function ensureNode() {
  return findNode() ?? (await installTool('node'))
}
