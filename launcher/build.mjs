// pnpm build: packs the packages that programs of others use to JavaScript with types, as tarballs
// in dist/, and tells how to install them.
import { cpSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { childEnvironment, faultIn, LauncherError, main, run, say } from './child.mjs'
import { findTool, root } from './tool.mjs'

/** In the order in which they stand on each other. */
const PACKAGES = ['contract', 'sdk', 'db', 'shared', 'worker']

await main(async () => {
  const out = join(root, 'dist')
  rmSync(out, { recursive: true, force: true })
  mkdirSync(out)
  await compile(join(out, 'js'))
  for (const name of PACKAGES) {
    await pack(name, out)
  }
  rmSync(join(out, 'js'), { recursive: true })
  const tarballs = readdirSync(out)
    .filter((file) => file.endsWith('.tgz'))
    .map((file) => join(out, file))
  process.stdout.write(`${tarballs.join('\n')}\n`)
  say('in a project of yours, all of them in one call:  npm install FILE FILE …')
  return 0
})

/** One run for all: a type that one package takes from another is checked once. */
async function compile(folder) {
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  if (!existsSync(tsc))
    throw new LauncherError('this folder is not set up yet: run  npm run setup  first')
  await step(
    process.execPath,
    [tsc, '-p', join(root, 'tsconfig.build.json'), '--outDir', folder],
    'compiling',
  )
  for (const name of PACKAGES) {
    const dist = join(root, 'packages', name, 'dist')
    rmSync(dist, { recursive: true, force: true })
    renameSync(join(folder, name, 'src'), dist)
  }
  cpSync(join(root, 'sql'), join(root, 'packages', 'db', 'dist', 'sql'), { recursive: true })
}

/**
 * pnpm writes the workspace's own versions into the package.json that it packs, and the exports
 * that only a package has.
 */
async function pack(name, out) {
  await step(
    findTool('pnpm') ?? onPath('pnpm'),
    ['pack', '--pack-destination', out],
    `packing ${name}`,
    join(root, 'packages', name),
  )
}

async function step(program, args, doing, cwd = root) {
  const { ok, output } = await run(program, args, {
    doing,
    cwd,
    env: childEnvironment({ path: [dirname(process.execPath)] }),
  })
  if (!ok) throw new LauncherError(`${doing} failed: ${faultIn(output)}\n${output.trim()}`)
}

function onPath(program) {
  const found = (process.env.PATH ?? '')
    .split(delimiter)
    .map((folder) => join(folder, program))
    .find((file) => existsSync(file))
  if (found === undefined) throw new LauncherError('pnpm was not found: run  npm run setup  first')
  return found
}
