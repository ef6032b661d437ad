// PostgreSQL server programs on this machine, for the tests' private cluster: found, or installed
// where that is allowed.
import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { faultIn, run } from './child.mjs'
import { findManager, installPackages, isRoot, mayInstall, which } from './packages.mjs'
import { ensureVector } from './pgvector.mjs'

/**
 * A server the tests can use: programs in `bin`, to be run as another user where this one is root
 * (initdb refuses root); or a container engine that answers; or none, and why.
 *
 * @typedef {{ kind: 'local', bin: string, version: number, runAs: { uid: number, gid: number } |
 *   null }
 *   | { kind: 'container', image: string } | { kind: 'none', reason: string }} Server
 */

const IMAGE = 'pgvector/pgvector:pg17'
/**
 * What brings a server, by manager; on Debian and Ubuntu `postgresql` is the release's own version.
 * Only apt was run.
 */
const SERVER_PACKAGES = {
  apt: ['postgresql'],
  dnf: ['postgresql-server', 'pgvector'],
  brew: ['postgresql@17', 'pgvector'],
}

/** Looks for a server with pgvector, installs nothing. @returns {Promise<Server>} */
export async function findServer() {
  const installed = await installations()
  const ready = installed.find(({ vector }) => vector)
  if (ready !== undefined) return serverAt(ready)
  if ((await run('docker', ['info'], { timeout: 15_000 })).ok)
    return { kind: 'container', image: IMAGE }
  return {
    kind: 'none',
    reason:
      installed.length > 0
        ? `PostgreSQL ${installed[0].version} is here, but without pgvector, and no container engine answers`
        : 'neither PostgreSQL server programs nor a container engine are on this machine',
  }
}

/**
 * As findServer, but installs the server and pgvector where nothing usable is here and it may.
 * @returns {Promise<Server>}
 */
export async function ensureServer({ yes }) {
  const found = await findServer()
  if (found.kind !== 'none') return found
  const manager = findManager()
  const packages = SERVER_PACKAGES[manager]
  if (packages === undefined) return found
  if (!isRoot() && manager !== 'brew') return installAsRoot(found, yes)
  if (!mayInstall(yes))
    return { kind: 'none', reason: `${found.reason}; to install it, run:  npm test -- --yes` }
  if ((await installations()).length === 0) {
    const fault = await installServer(manager, packages)
    if (fault !== undefined)
      return { kind: 'none', reason: `PostgreSQL could not be installed: ${fault}` }
  }
  const [newest] = await installations()
  if (newest === undefined)
    return {
      kind: 'none',
      reason: 'the server programs are not where they were expected after their installation',
    }
  if (newest.vector) return serverAt(newest)
  const fault = await ensureVector(manager, newest)
  return fault === undefined
    ? serverAt(newest)
    : { kind: 'none', reason: `pgvector could not be had: ${fault}` }
}

/**
 * Packages, and on Debian 12 a build of pgvector, need root from beginning to end: one command, run
 * here or by a person.
 */
async function installAsRoot(found, yes) {
  const program = fileURLToPath(new URL('test-postgres.mjs', import.meta.url))
  const byHand = which('sudo') === undefined ? 'as root' : 'sudo'
  const reason = `${found.reason}; to install it, run:  ${byHand} node launcher/test-postgres.mjs --install`
  if (!yes) return { kind: 'none', reason }
  const { ok, output } = await run('sudo', ['-n', process.execPath, program, '--install'], {
    doing: 'installing PostgreSQL for the tests',
  })
  const now = await findServer()
  return ok || now.kind !== 'none'
    ? now
    : { kind: 'none', reason: `${reason} (sudo: ${faultIn(output)})` }
}

async function installServer(manager, packages) {
  const before = clusters()
  const fault = await installPackages(manager, packages, 'installing PostgreSQL for the tests')
  // Debian makes and starts a cluster with the package. No one asked for a server on this machine:
  // away with that one.
  for (const cluster of clusters().filter((name) => !before.includes(name))) {
    await run('pg_dropcluster', ['--stop', ...cluster.split('/')])
  }
  return fault
}

/** Debian's clusters as 'version/name'. */
function clusters() {
  const etc = '/etc/postgresql'
  if (!existsSync(etc)) return []
  return readdirSync(etc).flatMap((version) =>
    readdirSync(join(etc, version)).map((name) => `${version}/${name}`),
  )
}

/**
 * @returns {Promise<{ bin: string, version: number, share: string, vector: boolean }[]>} newest
 *   first
 */
async function installations() {
  const found = []
  for (const bin of new Set(binFolders())) {
    const program = (name) => join(bin, process.platform === 'win32' ? `${name}.exe` : name)
    if (!['initdb', 'postgres', 'pg_ctl', 'pg_config'].every((name) => existsSync(program(name))))
      continue
    const asked = await run(program('pg_config'), ['--version', '--sharedir'])
    const [version, share] = asked.stdout.split('\n')
    if (!asked.ok || version === undefined || share === undefined) continue
    const vector = existsSync(join(share.trim(), 'extension', 'vector.control'))
    found.push({ bin, version: Number(/\d+/.exec(version)?.[0]), share: share.trim(), vector })
  }
  return found.sort((a, b) => b.version - a.version)
}

/**
 * Where server programs lie: Debian, Red Hat's PGDG, Homebrew on both kinds of Mac, the Windows
 * installer; last, PATH.
 */
function binFolders() {
  const below = (folder, tail) =>
    existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name, tail)) : []
  const brew = ['/opt/homebrew/opt', '/usr/local/opt'].flatMap((folder) => below(folder, 'bin'))
  const inPath = which('initdb')
  return [
    ...below('/usr/lib/postgresql', 'bin'),
    ...below('/usr', 'bin').filter((bin) => /[\\/]pgsql-\d+[\\/]/.test(bin)),
    ...brew.filter((bin) => /[\\/]postgresql(@\d+)?[\\/]/.test(bin)),
    ...(process.platform === 'win32' ? below('C:\\Program Files\\PostgreSQL', 'bin') : []),
    ...(inPath === undefined ? [] : [dirname(inPath)]),
  ]
}

async function serverAt({ bin, version }) {
  return { kind: 'local', bin, version, runAs: isRoot() ? await serverUser() : null }
}

/**
 * The user that a server started by root runs as: the package's own, else the one that owns
 * nothing.
 */
async function serverUser() {
  const numbers = await Promise.all(['-u', '-g'].map((flag) => run('id', [flag, 'postgres'])))
  const [uid, gid] = numbers.map(({ ok, stdout }) => (ok ? Number(stdout) : 65_534))
  return { uid, gid }
}
