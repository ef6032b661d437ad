// Programs that some tests put beside the mesh. Without one of them its tests are skipped, and say
// so.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { faultIn, run, say } from './child.mjs'
import {
  findManager,
  isRoot,
  installCommand,
  installPackages,
  mayInstall,
  which,
} from './packages.mjs'
import { tools } from './tool.mjs'

/** Only apt was run. `service`: what Debian starts with the package. */
const PROGRAMS = [
  {
    name: 'PgBouncer',
    program: 'pgbouncer',
    packages: { apt: ['pgbouncer'], dnf: ['pgbouncer'], brew: ['pgbouncer'] },
    service: 'pgbouncer',
    givenUp: 'pooler-given-up',
  },
  {
    name: 'Redis',
    program: 'redis-server',
    packages: { apt: ['redis-server'], dnf: ['redis'], brew: ['redis'] },
    service: 'redis-server',
    givenUp: 'redis-given-up',
  },
  {
    name: 'libfaketime, which sets the clock of a private PostgreSQL',
    program: 'faketime',
    packages: { apt: ['faketime'], dnf: ['libfaketime'], brew: ['libfaketime'] },
    givenUp: 'faketime-given-up',
  },
]

/** Debian puts some where only root's PATH looks. */
const isHere = (program) => which(program) !== undefined || existsSync(join('/usr/sbin', program))

/** Installs what is missing and may be installed. @param {{ yes: boolean }} options */
export async function ensureTestPrograms({ yes }) {
  for (const one of PROGRAMS) await ensureProgram(one, yes)
}

async function ensureProgram({ name, program, packages: all, service, givenUp }, yes) {
  // That it could not be installed: not tried again at every run of the tests.
  const mark = join(tools, givenUp)
  if (isHere(program) || existsSync(mark)) return
  const manager = findManager()
  const packages = all[manager]
  if (packages === undefined) return
  if (!mayInstall(yes))
    return say(
      `the tests that need ${name} are skipped; to add it, run:  ${installCommand(manager, packages)}`,
    )
  const fault = await installPackages(manager, packages, `installing ${name} for the tests`)
  if (isHere(program)) return service && stopService(manager, service)
  mkdirSync(tools, { recursive: true })
  writeFileSync(mark, '')
  say(`the tests that need ${name} are skipped: ${fault ?? 'it is not where it was expected'}`)
}

/** No one asked for a service on this machine. */
async function stopService(manager, service) {
  if (manager !== 'apt' || which('systemctl') === undefined) return
  const running = existsSync('/run/systemd/system') ? ['--now'] : []
  const [program, ...args] = [
    ...(isRoot() ? [] : ['sudo', '-n']),
    'systemctl',
    'disable',
    ...running,
    service,
  ]
  const { ok, output } = await run(program, args)
  if (!ok) say(`${service}, which was started with its package, may still run: ${faultIn(output)}`)
}
