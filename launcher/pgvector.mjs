// pgvector for a server that lacks it: the system's package, or on Debian the source package of a
// later release.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { faultIn, run } from './child.mjs'
import { fillLists, installPackages } from './packages.mjs'

/**
 * Debian 13 is the first release that carries pgvector; its source builds against the servers of
 * those before it.
 */
const SOURCE_SUITE = 'trixie'
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'

/**
 * Gives an installed server the pgvector extension.
 *
 * @param {string} manager
 * @param {{ bin: string, version: number, share: string }} server
 * @returns {Promise<string | undefined>} why it could not be had, or undefined when the server has
 *   it now
 */
export async function ensureVector(manager, server) {
  const there = () => existsSync(join(server.share, 'extension', 'vector.control'))
  if (manager !== 'apt')
    return `the package manager brought none for PostgreSQL ${server.version}; install pgvector for it by hand`
  await fillLists(manager)
  const packaged = `postgresql-${server.version}-pgvector`
  if ((await run('apt-cache', ['policy', packaged])).stdout.match(/Candidate: \d/)) {
    const fault = await installPackages(manager, [packaged], 'installing pgvector')
    return there() ? undefined : (fault ?? `${packaged} holds no vector.control`)
  }
  const fault = await build(manager, server)
  return there() ? undefined : (fault ?? 'its build left no vector.control')
}

async function build(manager, { bin, version }) {
  const mirror = await debianMirror()
  if (mirror === undefined)
    return 'the apt sources name no Debian mirror, and no package is offered'
  const tools = ['build-essential', `postgresql-server-dev-${version}`]
  const missing = await installPackages(manager, tools, 'installing the compiler for pgvector')
  if (missing !== undefined) return missing
  const folder = mkdtempSync(join(tmpdir(), 'earshot-pgvector-'))
  try {
    return (await download(folder, mirror)) ?? (await compile(folder, bin))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Where this machine gets Debian from: its own mirror, so that none is written down here. */
async function debianMirror() {
  const format = '$(ORIGIN) $(COMPONENT) $(REPO_URI) $(SUITE)'
  const { stdout } = await run('apt-get', [
    'indextargets',
    '--format',
    format,
    'Created-By: Packages',
  ])
  const lines = stdout.split('\n').map((line) => line.split(' '))
  // Updates and security have their own suites, security also its own address: the source lies in
  // the main archive.
  return lines.find(
    ([origin, component, , suite]) =>
      origin === 'Debian' && component === 'main' && !/-/.test(suite ?? ''),
  )?.[2]
}

/**
 * Fetches the source with lists and cache of its own: the machine's apt never learns of the other
 * release.
 */
async function download(folder, mirror) {
  const list = join(folder, 'sources.list')
  writeFileSync(list, `deb-src [signed-by=${KEYRING}] ${mirror} ${SOURCE_SUITE} main\n`)
  const settings = {
    'Dir::Etc::sourcelist': list,
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::State::lists': join(folder, 'lists'),
    'Dir::Cache': join(folder, 'cache'),
    'APT::Sandbox::User': 'root',
  }
  mkdirSync(join(folder, 'lists/partial'), { recursive: true })
  mkdirSync(join(folder, 'cache/archives/partial'), { recursive: true })
  const own = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`])
  const steps = [
    [...own, 'update'],
    [...own, 'source', '--download-only', 'pgvector'],
  ]
  for (const args of steps) {
    const { ok, output } = await run('apt-get', args, {
      doing: 'getting the source of pgvector',
      cwd: folder,
    })
    if (!ok) return faultIn(output)
  }
}

async function compile(folder, bin) {
  const archive = readdirSync(folder).find((name) => /^pgvector_.*\.orig\.tar\.\w+$/.test(name))
  if (archive === undefined) return 'its source package holds no archive'
  const source = join(folder, 'source')
  mkdirSync(source)
  const config = `PG_CONFIG=${join(bin, 'pg_config')}`
  const steps = [
    ['tar', ['-xf', archive, '-C', source, '--strip-components=1']],
    // OPTFLAGS empty: by default pgvector compiles for exactly this processor, and an image may
    // move to another. with_llvm=no: the tests gain nothing from code for the just-in-time
    // compiler, and it takes most of the time.
    ['make', ['-C', source, '-j2', 'OPTFLAGS=', 'with_llvm=no', config]],
    ['make', ['-C', source, 'install', 'with_llvm=no', config]],
  ]
  for (const [program, args] of steps) {
    const { ok, output } = await run(program, args, { doing: 'building pgvector', cwd: folder })
    if (!ok) return faultIn(output)
  }
}
