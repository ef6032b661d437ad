// The private tools in .tools: Node and pnpm, each one npm package that holds a single ready
// program.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { certificateHint, childEnvironment, faultIn, LauncherError, run } from './child.mjs'
import { TOOLS } from './pinned-tools.mjs'

export const root = fileURLToPath(new URL('..', import.meta.url))
export const tools = join(root, '.tools')

/** @typedef {'node' | 'pnpm'} Tool */

/**
 * The path of a private tool's program, or undefined where it is not installed in the pinned
 * version.
 *
 * @param {Tool} tool
 */
export function findTool(tool) {
  const it = TOOLS[tool][`${process.platform}-${process.arch}`]
  if (it === undefined) return undefined
  const folder = join(tools, 'node_modules', it.name)
  const program = join(folder, it.program)
  if (!existsSync(program)) return undefined
  const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  return version === it.version ? program : undefined
}

/**
 * Installs a private tool: beside, tried once, then renamed into place, so that a cut-off install
 * leaves nothing that looks whole. npm checks it against the pinned checksum. Call it under the
 * lock.
 *
 * @param {Tool} tool
 * @param {import('./pinned-tools.mjs').Pinned | undefined} it for tests
 * @returns {Promise<string>} the path of its program
 * @throws LauncherError when npm cannot get it, its checksum differs, or it does not run here
 */
export async function installTool(tool, it = TOOLS[tool][`${process.platform}-${process.arch}`]) {
  if (it === undefined) {
    throw new LauncherError(
      `There is no ready ${tool} for ${process.platform}-${process.arch}; install Node 22.18 or newer and start again.`,
    )
  }
  removeLeftovers()
  const beside = mkdtempSync(join(tools, 'incoming-'))
  try {
    writeLock(beside, it)
    await npm(
      ['ci', '--prefix', beside, '--ignore-scripts', '--no-audit', '--no-fund'],
      `getting ${tool} ${it.version}`,
    )
    const arrived = join(beside, 'node_modules', it.name)
    const trial = await run(join(arrived, it.program), ['--version'])
    if (!trial.ok)
      throw new LauncherError(
        `The downloaded ${tool} does not run on this machine: ${faultIn(trial.output)}`,
      )
    const place = join(tools, 'node_modules', it.name)
    rmSync(place, { recursive: true, force: true })
    mkdirSync(dirname(place), { recursive: true })
    renameSync(arrived, place)
    return join(place, it.program)
  } finally {
    rmSync(beside, { recursive: true, force: true })
  }
}

/**
 * A project whose only dependency is this package, with its checksum: `npm ci` refuses any other
 * content.
 */
function writeLock(folder, { name, version, integrity }) {
  const dependencies = { [name]: version }
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ dependencies }))
  writeFileSync(
    join(folder, 'package-lock.json'),
    JSON.stringify({
      lockfileVersion: 3,
      requires: true,
      packages: { '': { dependencies }, [`node_modules/${name}`]: { version, integrity } },
    }),
  )
}

/**
 * What killed installs left. Ten minutes: an npm that outlived its launcher may still be writing
 * into a younger one.
 */
function removeLeftovers() {
  for (const name of readdirSync(tools).filter((entry) => entry.startsWith('incoming-'))) {
    const folder = join(tools, name)
    if (Date.now() - statSync(folder).mtimeMs > 600_000)
      rmSync(folder, { recursive: true, force: true })
  }
}

async function npm(args, doing) {
  const { ok, output } = await run(process.execPath, [npmProgram(), ...args], {
    doing,
    cwd: tools,
    env: childEnvironment(),
  })
  if (!ok && /EINTEGRITY/.test(output))
    throw new LauncherError(
      `What arrived has another checksum than launcher/pinned-tools.mjs names (${doing}). Nothing was installed. Ask who runs the package registry or the proxy on the way.`,
    )
  if (!ok)
    throw new LauncherError(
      `npm could not do its part (${doing}): ${faultIn(output)}${certificateHint(output)}`,
    )
}

/** npm's own JavaScript file: started by Node directly, because Windows' npm.cmd needs a shell. */
function npmProgram() {
  const nearby = [
    process.env.npm_execpath ?? '',
    join(dirname(process.execPath), '../lib/node_modules/npm/bin/npm-cli.js'),
    join(dirname(process.execPath), 'node_modules/npm/bin/npm-cli.js'),
    ...(process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, 'npm')),
  ]
  for (const place of nearby) {
    if (!existsSync(place)) continue
    const file = realpathSync(place)
    if (file.endsWith('npm-cli.js')) return file
  }
  throw new LauncherError(
    'npm was not found beside Node; install npm, or Node 22.18 or newer with npm, and start again.',
  )
}
