import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { loadConfig, type ConfigSources } from '@earshot/shared/config'
import { DATABASE_PARTS, SETTINGS, type Setting } from '@earshot/shared/config/settings'
import { parseRedisAddress } from '@earshot/shared/transport/address'
import { checkRedis } from '@earshot/shared/transport/check'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { findRedis, startRedis } from '../../../test/helpers/redis.ts'

/**
 * What can be known of compose.yaml and the Dockerfile without a container engine:
 * docs/containers.md says what was never tried.
 */
const ROOT = path.resolve(import.meta.dirname, '../../..')
const read = (file: string) => readFileSync(path.join(ROOT, file), 'utf8')

type Service = {
  image: string
  build?: string
  user?: string
  command?: string[]
  environment?: Record<string, string>
  ports?: string[]
  volumes?: string[]
  networks: string[]
  profiles?: string[]
  depends_on?: Record<string, unknown>
  healthcheck: { test: string[] }
  read_only: boolean
  cap_drop: string[]
  security_opt: string[]
}
type Compose = {
  services: Record<string, Service>
  volumes: Record<string, unknown>
  networks: Record<string, { internal?: boolean } | null>
}

const GIVEN = { EARSHOT_KEY: 'k123', POSTGRES_PASSWORD: 'p@ss/word' }

/**
 * Fills in ${NAME:?message} and ${NAME:-default}, the two forms that compose.yaml uses, as Compose
 * does.
 */
function interpolate(text: string, given: Record<string, string>): string {
  return text.replace(
    /\$\{(\w+):([?-])([^}]*)\}/g,
    (_, name: string, form: string, rest: string) => {
      if (given[name] === undefined && form === '?') throw new Error(`${name}: ${rest}`)
      return given[name] ?? rest
    },
  )
}

const compose = (given: Record<string, string> = GIVEN) =>
  parse(interpolate(read('compose.yaml'), given), { merge: true }) as Compose
const all = Object.entries(compose().services)
const own = all.filter(([, { build }]) => build !== undefined)

describe('compose.yaml', () => {
  test.each(Object.keys(GIVEN))('without %s nothing starts', (name) => {
    const { [name]: _, ...rest } = GIVEN as Record<string, string>
    expect(() => compose(rest)).toThrow(`${name}: set ${name}`)
  })

  test('starts coordinator, worker and the servers they share, and a database browser for those who ask', () => {
    expect(all.filter(([, { profiles }]) => profiles === undefined).map(([name]) => name)).toEqual([
      'postgres',
      'redis',
      'coordinator',
      'worker',
    ])
    expect(
      all.filter(([, { profiles }]) => profiles?.includes('browser')).map(([name]) => name),
    ).toEqual(['adminer'])
  })

  test.each(own)(
    '%s gets settings that Earshot knows, and they lead to the servers',
    (_, { environment = {} }) => {
      const known = [
        ...Object.values<Setting>(SETTINGS).flatMap(({ env }) => env),
        ...DATABASE_PARTS,
      ]
      expect(Object.keys(environment).filter((name) => !known.includes(name))).toEqual([])
      const machine: ConfigSources['machine'] = {
        hostname: 'box',
        homeFolder: '/home/node',
        cores: 2,
        nodeId: () => 'box-1a2b',
      }
      const config = loadConfig({ flags: {}, env: environment, files: {}, cwd: '/', machine })
      expect(config.key).toBe(GIVEN.EARSHOT_KEY)
      const database = new URL(config.database.url!)
      expect([database.hostname, decodeURIComponent(database.password)]).toEqual([
        'postgres',
        GIVEN.POSTGRES_PASSWORD,
      ])
      expect(parseRedisAddress(config.redis.url!)).toEqual({
        mode: 'single',
        tls: false,
        hosts: [{ host: 'redis', port: 6379 }],
        db: 0,
      })
    },
  )

  test('the names by which services find each other are services', () => {
    const names = Object.keys(compose().services)
    const meant = all.flatMap(([, { depends_on = {}, environment = {} }]) => [
      ...Object.keys(depends_on),
      ...['DB_HOST', 'ADMINER_DEFAULT_SERVER'].flatMap((name) => environment[name] ?? []),
      ...['EARSHOT_ADVERTISE', 'REDIS_URL'].flatMap((name) =>
        environment[name] === undefined ? [] : new URL(environment[name]).hostname,
      ),
    ])
    expect(meant.filter((name) => !names.includes(name))).toEqual([])
    expect(
      own.map(([name, { healthcheck }]) => [
        name,
        /localhost|127\.0\.0\.1:(\d+)/.exec(healthcheck.test.join(' '))?.[1],
      ]),
    ).toEqual([
      ['coordinator', SETTINGS['http.port'].default],
      ['worker', compose().services['worker']?.command?.at(-1)],
    ])
  })

  test.each(all)(
    '%s is reached from this machine only, has a health check and no right that it does not need',
    (_, service) => {
      expect(service.ports?.filter((port) => !port.startsWith('127.0.0.1:')) ?? []).toEqual([])
      expect(service.healthcheck.test[0]).toBe('CMD')
      expect(service).toMatchObject({
        read_only: true,
        cap_drop: ['ALL'],
        security_opt: ['no-new-privileges:true'],
      })
      expect(service.user === undefined || service.user !== 'root').toBe(true)
      expect(service.user !== undefined || service.build !== undefined).toBe(true)
    },
  )

  test.skipIf(findRedis() === undefined)(
    'the settings of its Redis are such as a Redis takes, and that one keeps nothing and forgets nothing',
    async () => {
      const [program, ...settings] = compose().services['redis']!.command!
      expect(program).toBe('redis-server')
      await using redis = await startRedis(settings)
      expect(await checkRedis(redis.url)).toMatchObject({ evicts: null })
      expect(await redis.client.config('GET', 'save')).toEqual(['save', ''])
    },
  )

  test('every image of others names its version, and the servers have no way out', () => {
    expect(
      all.filter(([, { build, image }]) => build === undefined && !/:\d+\.\d+\.\d+/.test(image)),
    ).toEqual([])
    expect(compose().networks['data']).toEqual({ internal: true })
    for (const server of ['postgres', 'redis'])
      expect(compose().services[server]?.networks).toEqual(['data'])
  })

  test('volumes that are named are declared, and the inbox is only read', () => {
    const mounts = all.flatMap(([, { volumes = [] }]) => volumes)
    expect(
      mounts.filter((mount) => /^\w+:/.test(mount)).map((mount) => mount.split(':')[0]),
    ).toEqual(Object.keys(compose().volumes))
    expect(mounts.filter((mount) => mount.includes('inbox'))).toEqual(['./inbox:/inbox:ro'])
  })
})

describe('the Dockerfile', () => {
  const steps = read('Dockerfile')
    .replace(/\\\n/g, ' ')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
  const copied = steps
    .filter(([word, from]) => word === 'COPY' && !from?.startsWith('--from'))
    .flatMap((step) => step.slice(1, -1))

  test('copies what is in the repository and not ignored, and the manifest of every package', () => {
    const allowed = read('.dockerignore')
      .split('\n')
      .filter((line) => line.startsWith('!'))
      .map((line) => line.slice(1))
    expect(copied.filter((file) => !allowed.includes(file.split('/')[0]!))).toEqual([])
    const top = readdirSync(ROOT)
    expect(allowed.filter((file) => !top.includes(file))).toEqual([])
    const manifests = readdirSync(path.join(ROOT, 'packages')).map(
      (name) => `packages/${name}/package.json`,
    )
    expect(copied).toEqual(expect.arrayContaining([...manifests, 'packages', 'sql']))
    expect(manifests.map(read)).toHaveLength(manifests.length)
  })

  test('brings a Node that Earshot runs on, the pnpm of the launcher and the programs of the launcher', () => {
    const needed = Number(
      />=(\d+)/.exec(JSON.parse(read('packages/cli/package.json')).engines.node)?.[1],
    )
    const bases = steps
      .filter(([word]) => word === 'FROM')
      .map(([, image]) => Number(/^node:(\d+)-bookworm-slim$/.exec(image!)?.[1]))
    expect(bases).toHaveLength(2)
    expect(bases.filter((major) => !(major > needed))).toEqual([])
    expect(steps.flat().find((word) => word.startsWith('pnpm@'))).toBe(
      `pnpm@${/@pnpm\/exe\.linux-x64',\s+version: '([\d.]+)'/.exec(read('launcher/pinned-tools.mjs'))?.[1]}`,
    )
    const programs = [...read('launcher/system.mjs').matchAll(/apt: \[(.*?)\]/g)].flatMap(
      ([, names]) => names!.match(/[\w-]+/g) ?? [],
    )
    const install = steps.find((step) => step.includes('install') && step.includes('apt-get')) ?? []
    expect(
      install
        .slice(install.indexOf('--no-install-recommends') + 1, install.lastIndexOf('&&'))
        .sort(),
    ).toEqual(programs.sort())
  })

  test('does not run as root, and keeps what Earshot keeps in a volume', () => {
    expect(steps.findLast(([word]) => word === 'USER')).toEqual(['USER', 'node'])
    expect(read('Dockerfile')).toMatch(
      /ENV .*EARSHOT_HOME=\/var\/lib\/earshot EARSHOT_INBOX=\/inbox/,
    )
  })
})
