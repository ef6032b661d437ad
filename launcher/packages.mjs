// The system's package manager: which one is here, whether it may be used, what it is asked.
import { existsSync, readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { childEnvironment, faultIn, run } from './child.mjs'

/**
 * What each manager is called with; only apt-get was ever run. `refresh` is what fills an empty or
 * outdated list of packages. apt-get waits for another apt-get (a freshly started machine updates
 * itself) instead of failing.
 */
const MANAGERS = {
  apt: {
    program: 'apt-get',
    install: ['-o', 'DPkg::Lock::Timeout=300', 'install', '-y', '--no-install-recommends'],
    shown: ['install', '-y', '--no-install-recommends'],
    refresh: ['-o', 'DPkg::Lock::Timeout=300', 'update'],
    env: { DEBIAN_FRONTEND: 'noninteractive' },
    needsRoot: true,
  },
  dnf: { program: 'dnf', install: ['install', '-y'], needsRoot: true },
  brew: { program: 'brew', install: ['install'], needsRoot: false },
  winget: {
    program: 'winget',
    install: [
      'install',
      '--exact',
      '--accept-package-agreements',
      '--accept-source-agreements',
      '--id',
    ],
    needsRoot: false,
  },
}

/** @typedef {keyof typeof MANAGERS} ManagerName */

/** The path of a program in PATH, or undefined. @param {string} name without .exe */
export function which(name) {
  const names = process.platform === 'win32' ? [`${name}.exe`, `${name}.cmd`] : [name]
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '')
  for (const folder of folders) {
    for (const file of names) if (existsSync(join(folder, file))) return join(folder, file)
  }
  return undefined
}

/**
 * The manager of this system, or undefined where none that is known is here. @returns {ManagerName
 * | undefined}
 */
export function findManager() {
  const here =
    { linux: ['apt', 'dnf'], darwin: ['brew'], win32: ['winget'] }[process.platform] ?? []
  return here.find((name) => which(MANAGERS[name].program) !== undefined)
}

export const isRoot = () => process.getuid?.() === 0

/** Whether packages may be installed without asking: as root, or when the user said --yes. */
export const mayInstall = (yes) => yes || isRoot()

/** The one command a person types to install these packages. */
export function installCommand(manager, packages) {
  const { program, install, shown = install, needsRoot } = MANAGERS[manager]
  // Without sudo it is for the reader to become root in their own way.
  const asRoot = needsRoot && !isRoot() && which('sudo') !== undefined
  return [...(asRoot ? ['sudo'] : []), program, ...shown, ...packages].join(' ')
}

/**
 * Installs packages: together, after a refresh of the lists if that fails, at last one by one, so
 * that one unknown name costs only itself.
 *
 * @param {ManagerName} manager
 * @param {string[]} packages
 * @param {string} doing for the progress line
 * @returns {Promise<string | undefined>} the fault in the manager's own words, or undefined when
 *   all are installed
 */
export async function installPackages(manager, packages, doing) {
  const { install, refresh, needsRoot } = MANAGERS[manager]
  if (needsRoot && !isRoot() && !(await run('sudo', ['-n', 'true'])).ok)
    return 'it needs root, and sudo is not here or wants a password'
  const together = manager !== 'winget' // takes one package a call
  await fillLists(manager)
  if (together) {
    if ((await ask(manager, [...install, ...packages], doing)).ok) return undefined
    if (refresh !== undefined) {
      // A broken third-party source makes the refresh fail while the system's own works: only the
      // install decides.
      await ask(manager, refresh, 'reading the list of packages')
      if ((await ask(manager, [...install, ...packages], doing)).ok) return undefined
    }
  }
  let fault
  for (const name of packages) {
    const { ok, output } = await ask(manager, [...install, name], `installing ${name}`)
    if (!ok) fault = `${name}: ${faultIn(output)}`
  }
  return fault
}

function ask(manager, args, doing) {
  const { program, env = {}, needsRoot } = MANAGERS[manager]
  const options = { doing, env: childEnvironment({ set: env }) }
  if (!needsRoot || isRoot()) return run(program, args, options)
  // -n: never ask for a password; who has none set up gets the command to run instead. sudo drops
  // our environment.
  const settings = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  return run('sudo', ['-n', 'env', ...settings, program, ...args], options)
}

/**
 * A bare Debian image has no lists of packages at all: reads them then, since to ask them first
 * would only fail.
 */
export async function fillLists(manager) {
  if (manager !== 'apt') return
  const lists = '/var/lib/apt/lists'
  const filled = existsSync(lists) && readdirSync(lists).some((name) => name.endsWith('Release'))
  if (!filled) await ask(manager, MANAGERS.apt.refresh, 'reading the list of packages')
}
