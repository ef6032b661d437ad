import path from 'node:path'
import { EarshotError, trimEndOf } from '@earshot/contract'
import {
  readDatabaseParts,
  readDotenv,
  readFlags,
  readVariables,
  readYaml,
  shown,
  type ConfigFile,
  type Given,
  type Problem,
  type Reading,
  type Variables,
} from './config/read.ts'
import { SETTINGS, type Setting, type SettingKey, type Values } from './config/settings.ts'
import type { LogLevel } from './log.ts'

export type SslMode = 'disable' | 'require' | 'verify-ca' | 'verify-full'

/**
 * Every setting, read and checked. Paths are absolute; times in seconds; null where no one said
 * anything.
 */
export type Config = {
  home: string
  /** Where commands find the mesh. */
  url: string
  /** Whether someone said so; otherwise `url` is the default. */
  isUrlGiven: boolean
  key: string | null
  node: {
    id: string
    name: string
    host: string
    /** The worker's own status port; 0 picks one. */
    port: number
    /** null: every role this machine can serve. */
    roles: string[] | null
    /** Added to the facts that are found. */
    tags: Record<string, string | number | boolean>
    /** Jobs at once, of each role or by role; `*` is the most of all roles together. */
    slots: number | Record<string, number>
    /** Whether engines prove themselves after it joined. */
    selfTest: boolean
  }
  /** Goes to `openDatabase` as it is; without `url` it is the embedded one under `home`. */
  database: {
    url?: string
    directUrl?: string
    sslmode?: SslMode
    caFile?: string
    poolSize: number
    idleTimeoutS: number
    maxLifetimeS: number
    connectTimeoutS: number
    home: string
  }
  /** What carries wake-ups, hints and progress, beside the database; null without one. */
  redis: { url: string | null }
  http: {
    host: string
    port: number
    /** null: from host and the port that was really opened. */
    advertise: string | null
  }
  inbox: { path: string; settleS: number }
  log: { level: LogLevel }
  limits: { maxDurationS: number; maxMediaGb: number }
  /** Seconds by what is kept, where someone said so. */
  retention: {
    completed?: number
    failed?: number
    archived?: number
    events?: number
    nodes?: number
    speech?: number
    uploads?: number
    documents?: number
    media?: number
  }
  /**
   * By which model documents are embedded besides the lexical one; null: as the mesh has it.
   * `waitS`: how long a search waits for its query's vector.
   */
  embed: { model: string | null; floor: number | null; waitS: number }
  /** The door for OpenAI's clients. `aliases`: names of models and voices to those of the mesh. */
  openaiApi: { aliases: Record<string, string>; waitS: number; timeoutS: number }
  ollamaHost: string
  /** Servers that speak OpenAI's protocol; the key goes to each of them. */
  openaiServers: { urls: string[]; key: string | null }
  /** What whisper.cpp runs on; null: by the machine. */
  whisper: { build: 'cpu' | 'cuda' | 'vulkan' | 'metal' | null }
  engines: { silenceS: number }
  /** Sentences about what was read and should be written otherwise, for the log. */
  warnings: string[]
}

export type ConfigSources = {
  /** By long name without dashes; repeated flags as lists. */
  flags: Record<string, string | readonly string[] | undefined>
  env: Variables
  files: { yaml?: ConfigFile; dotenv?: ConfigFile }
  cwd: string
  /**
   * What the machine says, for settings no one gave. `nodeId` is asked only when no id was given.
   */
  machine: { hostname: string; homeFolder: string; cores: number; nodeId: (home: string) => string }
}

/**
 * Reads all settings: a flag wins over the environment, that over .env, that over config.yaml, that
 * over the default.
 *
 * Relative paths are relative to the working folder, those in a file to that file's folder; `~/` is
 * the user's folder.
 *
 * @throws EarshotError EARSHOT_BAD_CONFIG, one for everything that is wrong: each bad or unknown
 *   key, as the user wrote it and where, what was found (secrets masked) and what is expected.
 * @example
 * loadConfig({ flags: { port: '7701' }, env: {}, files: {}, cwd: '/srv/mesh', machine }).http.port   // 7701
 */
export function loadConfig({ flags, env, files, cwd, machine }: ConfigSources): Config {
  const { given, problems, warnings = [] } = readAll({ flags, env, files, cwd })
  const values: Record<string, unknown> = {}
  // The weakest first, so that the strongest is what remains; all are checked, or a slip would hide
  // behind a flag.
  for (const one of given.toReversed()) {
    const checked = check(one, machine.homeFolder)
    if ('what' in checked) problems.push(checked)
    else values[one.key] = checked.value
  }
  if (problems.length > 0) throw badConfig(problems)
  return { ...assemble(values as Values, cwd, machine), warnings }
}

function readAll({ flags, env, files, cwd }: Omit<ConfigSources, 'machine'>): Reading {
  const dotenv = files.dotenv === undefined ? {} : readDotenv(files.dotenv)
  const dotenvName = files.dotenv === undefined ? '.env' : path.basename(files.dotenv.path)
  const parts = readDatabaseParts(env, dotenv, cwd)
  const readings: Reading[] = [
    readFlags(flags, cwd),
    readVariables(env, 'environment', cwd),
    ...(parts.fromEnvironment ? [parts] : []),
    readVariables(
      dotenv,
      dotenvName,
      files.dotenv === undefined ? cwd : path.dirname(files.dotenv.path),
    ),
    ...(parts.fromEnvironment ? [] : [parts]),
    ...(files.yaml === undefined ? [] : [readYaml(files.yaml)]),
  ]
  return {
    given: readings.flatMap((reading) => reading.given),
    problems: readings.flatMap((reading) => reading.problems),
    warnings: readings.flatMap((reading) => reading.warnings ?? []),
  }
}

function check(given: Given, homeFolder: string): { value: unknown } | Problem {
  const setting: Setting = SETTINGS[given.key]
  const parsed = setting.schema.safeParse(
    given.written === 'text'
      ? fromText(setting, String(given.value))
      : fromYaml(setting, given.value),
  )
  if (!parsed.success) {
    const advice = setting.advise?.(String(given.value).trim())
    return {
      where: given.where,
      what: `is ${shown(given.value, setting.secret)}; expected ${setting.expected}${advice === undefined ? '' : `: ${advice}`}`,
    }
  }
  if (setting.text !== 'path') return { value: parsed.data }
  return {
    value: path.resolve(given.folder, String(parsed.data).replace(/^~(?=$|[/\\])/, homeFolder)),
  }
}

const SECONDS_IN: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400 }

function fromText(setting: Setting, text: string): unknown {
  const value = text.trim()
  switch (setting.text) {
    case 'number':
      return /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value
    case 'duration': {
      const match = /^(\d+(?:\.\d+)?)([smhd]?)$/.exec(value)
      return match === null ? value : Number(match[1]) * (SECONDS_IN[match[2] || 's'] ?? 1)
    }
    case 'list':
      return value
        .split(',')
        .map((item) => item.trim())
        .filter((item) => item !== '')
    case 'tags':
      return tagsFromText(value)
    case 'slots':
      return value.includes('=') ? tagsFromText(value) : Number(value)
    case 'address':
      return fullAddress(value, setting.port)
    default:
      return value
  }
}

function fromYaml(setting: Setting, value: unknown): unknown {
  const worded = setting.text === 'address' || setting.text === 'duration'
  return worded && typeof value === 'string' ? fromText(setting, value) : value
}

// Ollama's own variable is mostly written as a host alone, without http:// and port.
function fullAddress(address: string, port: number | undefined): string {
  if (address.includes('://')) return trimEndOf(address, '/')
  return `http://${address}${port === undefined || /:\d+$/.test(address) ? '' : `:${port}`}`
}

function tagsFromText(text: string): unknown {
  const pairs = text
    .split(',')
    .map((pair) => pair.trim())
    .filter((pair) => pair !== '')
    .map((pair) => pair.split(/=(.*)/s, 2))
  if (pairs.some(([, value]) => value === undefined)) return text
  return Object.fromEntries(
    pairs.map(([name, value = '']) => {
      const number = /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value
      return [name, value === 'true' ? true : value === 'false' ? false : number]
    }),
  )
}

function badConfig(problems: Problem[]): EarshotError {
  const lines = [...new Set(problems.map(({ where, what }) => `${where} ${what}`))]
  const message =
    lines.length === 1
      ? `A setting is wrong: ${lines[0]}.`
      : `${lines.length} settings are wrong:\n${lines.map((line) => `  ${line}`).join('\n')}`
  const field = [...new Set(problems.map(({ where }) => where))].join(', ')
  return new EarshotError('EARSHOT_BAD_CONFIG', message.replace(/\?\.$/, '?'), {
    field,
    hint: 'All settings are listed in docs/configuration.md.',
  })
}

function assemble(
  values: Values,
  cwd: string,
  machine: ConfigSources['machine'],
): Omit<Config, 'warnings'> {
  const home = values.home ?? path.join(cwd, '.earshot')
  const host = values['http.host'] ?? '127.0.0.1'
  const port = values['http.port'] ?? 7700
  const id = values['node.id'] ?? machine.nodeId(home)
  return {
    home,
    url: values.url ?? `http://${reachable(host)}:${port}`,
    isUrlGiven: [values.url, values['http.host'], values['http.port']].some(
      (one) => one !== undefined,
    ),
    key: values.key ?? null,
    node: {
      id,
      name: values['node.name'] ?? id,
      host: values['node.host'] ?? machine.hostname,
      port: values['node.port'] ?? 0,
      roles: values['node.roles'] ?? null,
      tags: values['node.tags'] ?? {},
      slots: values['node.slots'] ?? machine.cores,
      selfTest: (values['node.self_test'] ?? 'on') === 'on',
    },
    database: {
      url: values['database.url'],
      directUrl: values['database.direct_url'],
      sslmode: values['database.sslmode'],
      caFile: values['database.ssl_ca'],
      poolSize: values['database.pool_size'] ?? 10,
      idleTimeoutS: values['database.idle_timeout_s'] ?? 30,
      maxLifetimeS: values['database.max_lifetime_s'] ?? 1800,
      connectTimeoutS: values['database.connect_timeout_s'] ?? 10,
      home,
    },
    redis: { url: values['redis.url'] ?? null },
    http: { host, port, advertise: values['http.advertise'] ?? null },
    inbox: {
      path: values['inbox.path'] ?? path.join(cwd, 'inbox'),
      settleS: values['inbox.settle_s'] ?? 10,
    },
    log: { level: values['log.level'] ?? 'info' },
    limits: {
      maxDurationS: values['limits.max_duration_s'] ?? 43_200,
      maxMediaGb: values['limits.max_media_gb'] ?? 20,
    },
    retention: retentionOf(values),
    whisper: { build: values['whisper.build'] ?? null },
    engines: { silenceS: values['engines.silence_s'] ?? 300 },
    openaiServers: {
      urls: values['openai_servers.urls'] ?? [],
      key: values['openai_servers.key'] ?? null,
    },
    embed: {
      model: values['embed.model'] ?? null,
      floor: values['embed.floor'] ?? null,
      waitS: values['embed.wait_s'] ?? 1.5,
    },
    openaiApi: {
      aliases: values['openai_api.aliases'] ?? {},
      waitS: values['openai_api.wait_s'] ?? 60,
      timeoutS: values['openai_api.timeout_s'] ?? 900,
    },
    ollamaHost: reachableAddress(values.ollama_host ?? 'http://127.0.0.1:11434'),
  }
}

function retentionOf(values: Values): Config['retention'] {
  const kept = (
    [
      'completed',
      'failed',
      'archived',
      'events',
      'nodes',
      'speech',
      'uploads',
      'documents',
      'media',
    ] as const
  ).map((what) => [what, values[`retention.${what}`]] as const)
  return Object.fromEntries(kept.filter(([, seconds]) => seconds !== undefined))
}

/**
 * The address to connect to where a program listens on all: no one can connect to 0.0.0.0
 * everywhere (Windows refuses).
 */
function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  if (host === '::') return '[::1]'
  return host.includes(':') ? `[${host}]` : host
}

function reachableAddress(address: string): string {
  return address.replace('//0.0.0.0', '//127.0.0.1')
}

export type { ConfigFile, SettingKey, Variables }
