// The programs that serve roles and that npm does not bring: looked for, installed where that is
// allowed, else named.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { withLock } from './lock.mjs'
import { findManager, installCommand, installPackages, mayInstall, which } from './packages.mjs'
import { tools } from './tool.mjs'

/**
 * Names in dnf, brew and winget were never tried; a program without a name there must be had some
 * other way.
 */
const PROGRAMS = [
  {
    name: 'ffmpeg',
    serves: 'decodes recordings',
    here: () => which('ffmpeg') !== undefined,
    packages: { apt: ['ffmpeg'], dnf: ['ffmpeg-free'], brew: ['ffmpeg'], winget: ['Gyan.FFmpeg'] },
  },
  {
    name: 'pocketsphinx',
    serves: 'hears speech',
    // Version 0.8 (Debian 12) and 5.x call the program differently; on Debian the English model is
    // a package of its own.
    here: () =>
      (which('pocketsphinx_continuous') ?? which('pocketsphinx')) !== undefined &&
      (which('apt-get') === undefined ||
        existsSync('/usr/share/pocketsphinx/model/en-us') ||
        existsSync('/usr/local/share/pocketsphinx/model/en-us')),
    packages: {
      apt: ['pocketsphinx', 'pocketsphinx-en-us'],
      dnf: ['pocketsphinx', 'pocketsphinx-models'],
      brew: ['cmu-pocketsphinx'],
    },
  },
  {
    name: 'flite',
    serves: 'speaks',
    here: () => which('flite') !== undefined,
    packages: { apt: ['flite'], dnf: ['flite'], brew: ['flite'] },
  },
  {
    name: 'espeak-ng',
    serves: 'speaks many languages',
    here: () => which('espeak-ng') !== undefined,
    packages: {
      apt: ['espeak-ng'],
      dnf: ['espeak-ng'],
      brew: ['espeak-ng'],
      winget: ['eSpeak-NG.eSpeak-NG'],
    },
  },
  {
    name: 'inotifywait',
    serves: 'tells at once when a file in the inbox is whole',
    here: () => process.platform !== 'linux' || which('inotifywait') !== undefined,
    packages: { apt: ['inotify-tools'], dnf: ['inotify-tools'] },
  },
]

/**
 * What could not be installed the last time: not tried again at every start, since a package
 * manager takes its time.
 */
const GIVEN_UP = join(tools, 'given-up')

/**
 * Sees to the system programs. What cannot be had is named with the command that installs it, and
 * Earshot goes on without the roles it serves.
 *
 * @param {{ yes: boolean, retry: boolean }} options see prepare
 * @returns {Promise<string[]>} what the user should be told when all set-up is over; nothing when
 *   all is there
 */
export async function ensurePrograms({ yes, retry }) {
  if (missing().length === 0) return []
  const manager = findManager()
  let fault
  if (manager !== undefined && mayInstall(yes) && (retry || readGivenUp() !== namesOf(missing()))) {
    fault = await withLock(join(tools, 'system.lock'), () => install(manager))
  }
  return explain(missing(), manager, fault)
}

async function install(manager) {
  // Looked at again under the lock: another launcher may have installed them while this one waited.
  const wanted = missing()
  const packages = wanted.flatMap((program) => program.packages[manager] ?? [])
  if (packages.length === 0) return undefined
  const fault = await installPackages(manager, packages, `installing ${namesOf(wanted)}`)
  const left = missing()
  mkdirSync(tools, { recursive: true })
  if (left.length === 0) rmSync(GIVEN_UP, { force: true })
  else writeFileSync(GIVEN_UP, namesOf(left))
  return fault
}

function explain(left, manager, fault) {
  if (left.length === 0) return []
  const packages =
    manager === undefined ? [] : left.flatMap((program) => program.packages[manager] ?? [])
  const names = left.map(({ name, serves }) => `${name} (${serves})`).join(', ')
  return [
    ...(fault === undefined ? [] : [`the package manager failed: ${fault}`]),
    `not on this machine: ${names}. Earshot runs without what they serve.`,
    packages.length > 0
      ? `to add them, run:  ${installCommand(manager, packages)}`
      : 'install them in the way of your system, so that they are found in PATH.',
  ]
}

const missing = () => PROGRAMS.filter((program) => !program.here())
const namesOf = (programs) => programs.map(({ name }) => name).join(', ')
const readGivenUp = () => (existsSync(GIVEN_UP) ? readFileSync(GIVEN_UP, 'utf8') : undefined)
