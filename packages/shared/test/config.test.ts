import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { EarshotError } from '@earshot/contract'
import { loadConfig, type Config, type ConfigSources } from '@earshot/shared/config'
import { readSettingsFiles } from '@earshot/shared/config/files'
import { secretsOf } from '@earshot/shared/config/secrets'
import { SETTINGS, type Setting } from '@earshot/shared/config/settings'
import { describe, expect, test } from 'vitest'

const machine: ConfigSources['machine'] = {
  hostname: 'box',
  homeFolder: '/home/ada',
  cores: 4,
  nodeId: () => 'box-1a2b',
}
const yaml = (text: string) => ({ yaml: { path: '/etc/earshot/config.yaml', text } })
const dotenv = (text: string) => ({ dotenv: { path: '/srv/mesh/.env', text } })

function load(sources: Partial<ConfigSources> = {}): Config {
  return loadConfig({ flags: {}, env: {}, files: {}, cwd: '/srv/mesh', machine, ...sources })
}

function failure(sources: Partial<ConfigSources>): EarshotError {
  try {
    load(sources)
  } catch (error) {
    expect(error).toBeInstanceOf(EarshotError)
    expect((error as EarshotError).code).toBe('EARSHOT_BAD_CONFIG')
    return error as EarshotError
  }
  throw new Error('The settings were taken although they are bad.')
}

test('settings under their former names are read, and named in a warning', () => {
  const { openaiApi, openaiServers, warnings } = load({
    files: yaml('door:\n  wait_s: 7\nopenai:\n  urls: [http://box:8080/v1]\n'),
  })
  expect({ openaiApi, openaiServers }).toMatchObject({
    openaiApi: { waitS: 7 },
    openaiServers: { urls: ['http://box:8080/v1'] },
  })
  expect(warnings).toEqual([
    'config.yaml:door.wait_s is now called openai_api.wait_s; write it so.',
    'config.yaml:openai.urls is now called openai_servers.urls; write it so.',
  ])
  expect(load({ files: yaml('openai_api:\n  wait_s: 7\n') }).warnings).toEqual([])
})

describe('bad settings', () => {
  test('are all named in one error: where, what was found, what is expected', () => {
    const { message, field } = failure({
      flags: { port: 'seventy' },
      env: { EARSHOT_HOME: '/srv', EARSHOT_PROT: '1', EARSHOT_LOG_LEVEL: 'loud' },
      files: {
        ...dotenv('DATABASE_URL=mysql://db/x'),
        ...yaml('node:\n  port: "8000"\n  colour: red\ndatabase:\n  sslmode: maybe\n'),
      },
    })
    expect(message).toContain('7 settings are wrong')
    expect(message).toContain('--port is "seventy"; expected a whole number from 0 to 65535')
    expect(message).toContain(
      'EARSHOT_PROT (environment) is not a setting; did you mean EARSHOT_PORT?',
    )
    expect(message).toContain(
      'EARSHOT_LOG_LEVEL (environment) is "loud"; expected one of trace, debug, info',
    )
    expect(message).toContain(
      '.env:DATABASE_URL is "mysql://db/x"; expected an address such as postgres://',
    )
    expect(message).toContain('config.yaml:node.port is "8000"; expected a whole number')
    expect(message).toContain('config.yaml:node.colour is not a setting')
    expect(message).toContain(
      'config.yaml:database.sslmode is "maybe"; expected one of disable, require, verify-ca, verify-full',
    )
    expect(field).toContain('config.yaml:node.port')
  })

  test('are named even where something stronger makes them have no effect', () => {
    expect(failure({ flags: { port: '7701' }, env: { EARSHOT_PORT: 'x' } }).message).toContain(
      'EARSHOT_PORT (environment) is "x"',
    )
  })

  test('never show a password or the key', () => {
    const { message } = failure({
      env: {
        DATABASE_URL: 'mysql://ada:hunter2@db/x',
        EARSHOT_KEY: 'with space',
        DATABASE_DIRECT_URL: 'hunter3',
      },
      files: dotenv('DATABASE_URL=mysql://ada:hunter@4/5@db/x'),
    })
    expect(message).toContain('mysql://ada:***@db/x')
    expect(message).toContain('.env:DATABASE_URL is "mysql://ada:***@db/x"')
    expect(message).not.toMatch(/hunter|4\/5|with space/)
  })

  test('of YAML syntax name the line', () => {
    expect(failure({ files: yaml('node:\n  id: a\n  id: b\n') }).message).toContain(
      'config.yaml, line 3 is not YAML: Map keys must be unique',
    )
    expect(failure({ files: yaml('just a sentence') }).message).toContain(
      'config.yaml holds no settings',
    )
  })

  test('of a group that is none, and a setting that is a group, are told apart', () => {
    expect(failure({ files: yaml('node: linux-01') }).message).toContain(
      'config.yaml:node is "linux-01"; expected a group of settings: id, name, host',
    )
    expect(failure({ files: yaml('home:\n  path: x') }).message).toContain(
      'config.yaml:home is {"path":"x"}; expected a folder',
    )
  })

  test('that are one level off are told where they belong', () => {
    expect(failure({ files: yaml('sslmode: require') }).message).toContain(
      'did you mean database.sslmode?',
    )
  })

  test('include a password that cannot be decoded, and not a socket of this machine', () => {
    expect(failure({ env: { DATABASE_URL: 'postgres://ada:100%@db/x' } }).message).toContain(
      '"postgres://ada:***@db/x"',
    )
    expect(
      load({ env: { DATABASE_URL: 'postgres:///mesh?host=/var/run/postgresql' } }).database.url,
    ).toContain('/var/run')
  })

  test('include a number where text belongs, since YAML reads 01 as 1', () => {
    expect(failure({ files: yaml('node:\n  id: 01') }).message).toContain(
      'config.yaml:node.id is 1; expected a name',
    )
  })

  test("cannot reach an object's own machinery", () => {
    expect(failure({ files: yaml('__proto__:\n  id: x\nconstructor: 1') }).message).toMatch(
      /__proto__ is not a setting[^]*constructor is not a setting/,
    )
  })

  test('include a split database address without its needed parts', () => {
    const { message } = failure({ env: { DB_HOST: 'db' } })
    expect(message).toContain('DB_USER is missing')
    expect(message).toContain('DB_NAME is missing')
  })
})

describe('order', () => {
  const files = { ...dotenv('EARSHOT_PORT=3'), ...yaml('http:\n  port: 2\n') }
  test.each([
    ['default', 7700, {}],
    ['config.yaml over default', 2, { files: yaml('http:\n  port: 2\n') }],
    ['.env over config.yaml', 3, { files }],
    ['environment over .env', 4, { files, env: { EARSHOT_PORT: '4' } }],
    ['flag over environment', 5, { files, env: { EARSHOT_PORT: '4' }, flags: { port: '5' } }],
  ])('%s', (_, port, sources) => {
    expect(load(sources).http.port).toBe(port)
  })

  test('an empty variable counts as not set', () => {
    expect(load({ env: { EARSHOT_PORT: '', EARSHOT_KEY: '' }, files }).http.port).toBe(3)
  })
})

describe('reading', () => {
  test('the node, as the seeds write it', () => {
    const { node } = load({
      files: yaml(
        'node:\n  id: "windows-main"\n  name: "Windows Heavy Compute"\n  host: "192.168.32.100"\n  port: 8000\n  roles:\n    - "llm_heavy"\n    - "stt_batch"\n  tags:\n    platform: "windows"\n    gpu: "nvidia-3060"\n',
      ),
    })
    expect(node).toEqual({
      id: 'windows-main',
      name: 'Windows Heavy Compute',
      host: '192.168.32.100',
      port: 8000,
      roles: ['llm_heavy', 'stt_batch'],
      tags: { platform: 'windows', gpu: 'nvidia-3060' },
      slots: 4,
      selfTest: true,
    })
  })

  test("paths: of the working folder, of the file's folder, of the user", () => {
    expect(load().home).toBe(path.resolve('/srv/mesh/.earshot'))
    expect(load({ files: yaml('inbox:\n  path: ./in') }).inbox.path).toBe(
      path.resolve('/etc/earshot/in'),
    )
    expect(load({ files: dotenv('EARSHOT_HOME=~/mesh') }).home).toBe(path.resolve('/home/ada/mesh'))
  })

  test('lists, tags and slots from flags, also given twice', () => {
    const { node } = load({
      flags: {
        roles: ['tts,stt_batch', 'rag_engine'],
        tags: ['gpu=none,vram_gb=0', 'quiet=true'],
        slots: 'tts=4,stt_batch=1,*=4',
      },
    })
    expect(node.roles).toEqual(['tts', 'stt_batch', 'rag_engine'])
    expect(node.tags).toEqual({ gpu: 'none', vram_gb: 0, quiet: true })
    expect(node.slots).toEqual({ tts: 4, stt_batch: 1, '*': 4 })
  })

  test('the split database address, its parts spread over environment and .env, its password encoded', () => {
    const { database } = load({
      env: { DB_PASSWORD: 'a@b:c/d' },
      files: dotenv(
        'DB_HOST=db\nDB_USER=ada\nDB_NAME=mesh\nDB_SSL_MODE=require\nDB_CONN_MAX_LIFETIME=5m\nDB_MAX_OPEN_CONNS=25',
      ),
    })
    expect(new URL(database.url ?? '').password).toBe(encodeURIComponent('a@b:c/d'))
    expect(database).toMatchObject({
      url: 'postgres://ada:a%40b%3Ac%2Fd@db:5432/mesh',
      sslmode: 'require',
      maxLifetimeS: 300,
      poolSize: 25,
    })
  })

  test.each([
    'postgresql://ada:pw@/mesh?host=/run/postgresql',
    'postgresql://ada:pw@:5433/mesh?host=%2Frun%2Fpostgresql',
    'postgresql:///mesh?host=/run/postgresql&user=ada',
    'postgresql://ada:pw@%2Frun%2Fpostgresql/mesh',
    'postgresql://ada:pw@db.lan/mesh?sslmode=require',
  ])('a database address as libpq writes it: %s', (address) => {
    const { url } = load({ env: { DATABASE_URL: address } }).database
    expect(new URL(url!).pathname).toBe('/mesh')
    expect(new URL(url!).search).toBe(new URL(address.replace(/@(?=[/:])/, '@x')).search)
  })

  test('DB_HOST as the folder of a socket', () => {
    const env = { DB_HOST: '/run/my postgres', DB_PORT: '5433', DB_USER: 'ada', DB_NAME: 'mesh' }
    expect(load({ env }).database.url).toBe(
      'postgres://ada@localhost:5433/mesh?host=%2Frun%2Fmy%20postgres',
    )
  })

  test.each([
    ['postgresql://ada:pw@a:5432,b:5433/mesh', 'name one host'],
    ['postgresql://ada:pw@a,b/mesh', 'name one host'],
    ['postgresql:///mesh?host=a,b', 'name one host'],
    ['host=db.lan dbname=mesh password=pw', 'write host=… dbname=… as postgresql://'],
  ])('what to write instead of %s', (address, advice) => {
    const { message } = failure({ env: { DATABASE_URL: address } })
    expect(message).toContain(advice)
    expect(message).not.toContain('pw')
    if (address.includes('a:5432')) {
      const parts = { DB_HOST: 'a,b', DB_USER: 'ada', DB_NAME: 'mesh' }
      expect(failure({ env: parts }).message).toContain(advice)
    }
  })

  test("what to write instead of libpq's sslmode that may not encrypt", () => {
    const env = { DATABASE_URL: 'postgres://a/b', DB_SSL_MODE: 'prefer' }
    expect(failure({ env }).message).toContain('write require for an encrypted connection')
  })

  test('DATABASE_URL before the split form of the same place', () => {
    expect(
      load({ env: { DATABASE_URL: 'postgres://a/b', DB_HOST: 'db', DB_USER: 'u', DB_NAME: 'n' } })
        .database.url,
    ).toBe('postgres://a/b')
  })

  test("addresses without protocol and port, as Ollama's own variable has them", () => {
    expect(load({ env: { OLLAMA_HOST: '0.0.0.0' } }).ollamaHost).toBe('http://127.0.0.1:11434')
    expect(load({ env: { EARSHOT_URL: '192.168.1.5' } }).url).toBe('http://192.168.1.5:7700')
  })

  test.each([
    ['127.0.0.1', 'http://127.0.0.1:7701'],
    ['0.0.0.0', 'http://127.0.0.1:7701'],
    ['::', 'http://[::1]:7701'],
  ])('commands find a mesh that listens on %s', (host, url) => {
    expect(load({ env: { EARSHOT_HOST: host, EARSHOT_PORT: '7701' } }).url).toBe(url)
  })

  test('no id is drawn when one is given', () => {
    const refusing = {
      ...machine,
      nodeId: () => {
        throw new Error('asked')
      },
    }
    expect(load({ env: { NODE_ID: 'linux-01' }, machine: refusing }).node).toMatchObject({
      id: 'linux-01',
      name: 'linux-01',
    })
    expect(load().node.id).toBe('box-1a2b')
  })
})

test.each([
  ['UTF-8', (text: string) => Buffer.from(text)],
  ['UTF-8 with a mark at its front', (text: string) => Buffer.from(`\ufeff${text}`)],
  ['UTF-16 as PowerShell writes it', (text: string) => Buffer.from(`\ufeff${text}`, 'utf16le')],
])('files in %s say what they say', (_, encode) => {
  const cwd = mkdtempSync(path.join(tmpdir(), 'earshot config '))
  try {
    writeFileSync(path.join(cwd, '.env'), encode('NODE_NAME=Küche\r\n'))
    writeFileSync(path.join(cwd, 'config.yaml'), encode('http: { port: 7702 }\r\n'))
    const { node, http } = load({ cwd, files: readSettingsFiles(cwd, undefined) })
    expect([node.name, http.port]).toEqual(['Küche', 7702])
  } finally {
    rmSync(cwd, { recursive: true })
  }
})

describe('how long things are kept', () => {
  test('is said in days, hours or seconds, and only what is said counts', () => {
    expect(
      load({ files: yaml('retention:\n  completed: 7d\n  failed: 36h\n  nodes: 90') }).retention,
    ).toEqual({ completed: 604_800, failed: 129_600, nodes: 90 })
    expect(load().retention).toEqual({})
    expect(failure({ files: yaml('retention:\n  completed: a week') }).message).toContain(
      'config.yaml:retention.completed is "a week"; expected a time such as 12h or 90d',
    )
  })
})

describe('what is written down', () => {
  const root = path.resolve(import.meta.dirname, '../../..')
  const table = () =>
    readFileSync(path.join(root, 'docs/configuration.md'), 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('| `') && !line.includes('| variable |'))

  test('docs/configuration.md lists every setting with its variables, flag and default', () => {
    const rows = Object.entries<Setting>(SETTINGS).map(([key, setting]) => {
      const variables = setting.env.map((name) => `\`${name}\``).join(', ') || '–'
      return `| \`${key}\` | ${variables} | ${setting.flag === undefined ? '–' : `\`--${setting.flag}\``} | ${setting.default} | ${setting.about}; ${setting.expected} |`
    })
    expect(table()).toEqual(rows)
  })

  test('config.example.yaml and .env.example hold every setting and are taken as they are', () => {
    const example = readFileSync(path.join(root, 'config.example.yaml'), 'utf8')
    const variables = readFileSync(path.join(root, '.env.example'), 'utf8')
    const uncommented = example.replace(/^#( *[a-z_]+:|  +)/gm, '$1')
    expect(() => load({ files: { ...yaml(example), ...dotenv(variables) } })).not.toThrow()
    expect(() =>
      load({ files: { ...yaml(uncommented), ...dotenv(variables.replace(/^#(?=[A-Z])/gm, '')) } }),
    ).not.toThrow()
    for (const [key, setting] of Object.entries<Setting>(SETTINGS)) {
      expect(uncommented, key).toMatch(new RegExp(`^ *${key.split('.').at(-1)}:`, 'm'))
      for (const name of setting.env)
        expect(variables, name).toMatch(new RegExp(`^#?${name}=`, 'm'))
    }
  })

  test('the default said in the table is the default used', () => {
    const config = load()
    expect(
      [
        config.http.host,
        config.http.port,
        config.inbox.settleS,
        config.database.poolSize,
        config.database.idleTimeoutS,
        config.database.maxLifetimeS,
        config.database.connectTimeoutS,
        config.log.level,
        config.limits.maxDurationS,
        config.limits.maxMediaGb,
        config.ollamaHost,
        config.node.port,
      ].map(String),
    ).toEqual(
      (
        [
          'http.host',
          'http.port',
          'inbox.settle_s',
          'database.pool_size',
          'database.idle_timeout_s',
          'database.max_lifetime_s',
          'database.connect_timeout_s',
          'log.level',
          'limits.max_duration_s',
          'limits.max_media_gb',
          'ollama_host',
          'node.port',
        ] as const
      ).map((key) => SETTINGS[key].default),
    )
  })
})

test.each(['http://me:open-sesame@box:8000/v1', 'http://box:8000/v1?api_key=open-sesame'])(
  '%s is refused as the address of a server, with where a key belongs, and without the secret',
  (address) => {
    const { message } = failure({ env: { EARSHOT_OPENAI_URLS: address } })
    expect(message).toContain('openai_servers.key')
    expect(message).not.toContain('open-sesame')
  },
)

test('the password of a Redis address is masked in errors and in the log', () => {
  expect(load({ env: { REDIS_URL: 'redis+sentinel://:hunter2@a,b/set' } }).redis.url).toBe(
    'redis+sentinel://:hunter2@a,b/set',
  )
  expect(failure({ env: { REDIS_URL: 'redis://:hunter2@box/0/1' } }).message).not.toContain(
    'hunter2',
  )
  expect(failure({ env: { REDIS_URL: 'box:6379' } }).message).toContain('it begins with redis://')
  expect(secretsOf(load({ env: { REDIS_URL: 'redis://:s%40cret@box' } }))).toEqual(
    expect.arrayContaining(['s@cret', 's%40cret']),
  )
})
