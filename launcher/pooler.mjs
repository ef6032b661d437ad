// PgBouncer, which some tests put between the mesh and its database. Without it they are skipped, and say so.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { faultIn, run, say } from './child.mjs'
import { findManager, isRoot, installCommand, installPackages, mayInstall, which } from './packages.mjs'
import { tools } from './tool.mjs'

/** Only apt was run. */
const PACKAGES = { apt: ['pgbouncer'], dnf: ['pgbouncer'], brew: ['pgbouncer'] }
/** Debian puts it where only root's PATH looks. */
const isHere = () => which('pgbouncer') !== undefined || existsSync('/usr/sbin/pgbouncer')
/** That it could not be installed: not tried again at every run of the tests. */
const GIVEN_UP = join(tools, 'pooler-given-up')

/** Installs PgBouncer for the tests where it is missing and may be installed. @param {{ yes: boolean }} options */
export async function ensurePooler({ yes }) {
  if (isHere() || existsSync(GIVEN_UP)) return
  const manager = findManager()
  const packages = PACKAGES[manager]
  if (packages === undefined) return
  if (!mayInstall(yes)) return say(`the tests that need PgBouncer are skipped; to add it, run:  ${installCommand(manager, packages)}`)
  const fault = await installPackages(manager, packages, 'installing PgBouncer for the tests')
  if (isHere()) return stopService(manager)
  mkdirSync(tools, { recursive: true })
  writeFileSync(GIVEN_UP, '')
  say(`the tests that need PgBouncer are skipped: ${fault ?? 'it is not where it was expected'}`)
}

/** Debian starts a pooler with the package. Nobody asked for one on this machine. */
async function stopService(manager) {
  if (manager !== 'apt' || which('systemctl') === undefined) return
  const running = existsSync('/run/systemd/system') ? ['--now'] : []
  const [program, ...args] = [...(isRoot() ? [] : ['sudo', '-n']), 'systemctl', 'disable', ...running, 'pgbouncer']
  const { ok, output } = await run(program, args)
  if (!ok) say(`the pooler that was started with its package may still run: ${faultIn(output)}`)
}
