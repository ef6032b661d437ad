import { createRequire } from 'node:module'
import path from 'node:path'
import { parseEnv } from 'node:util'
import type { YAMLMap } from 'yaml'
import { maskSecrets } from '../log.ts'
import { DATABASE_PARTS, SETTINGS, type Setting, type SettingKey } from './settings.ts'

/**
 * Something written somewhere: `where` names it as the user wrote it, `folder` is what relative
 * paths are relative to.
 */
export type Given = {
  key: SettingKey
  value: unknown
  where: string
  folder: string
  written: 'text' | 'yaml'
}
export type Problem = { where: string; what: string }
/** What one place says, and what is wrong with it. */
export type Reading = { given: Given[]; problems: Problem[]; warnings?: string[] }

export type ConfigFile = { path: string; text: string }
export type Variables = Record<string, string | undefined>

/** Former names of settings. They are read for one more version, with a warning. */
const FORMER_KEYS = new Map<string, SettingKey>([
  ['door.aliases', 'openai_api.aliases'],
  ['door.wait_s', 'openai_api.wait_s'],
  ['door.timeout_s', 'openai_api.timeout_s'],
  ['openai.urls', 'openai_servers.urls'],
  ['openai.key', 'openai_servers.key'],
])
const KEYS = Object.keys(SETTINGS) as SettingKey[]
const settingOf = (key: SettingKey): Setting => SETTINGS[key]
const isSettingKey = (name: string): name is SettingKey => Object.hasOwn(SETTINGS, name)

/** Reads flags, by their long names without dashes. Repeated ones are lists. */
export function readFlags(
  flags: Record<string, string | readonly string[] | undefined>,
  folder: string,
): Reading {
  const given = KEYS.flatMap((key): Given[] => {
    const flag = settingOf(key).flag
    const value = flag === undefined ? undefined : flags[flag]
    return flag === undefined || value === undefined
      ? []
      : [
          {
            key,
            value: typeof value === 'string' ? value : value.join(','),
            where: `--${flag}`,
            folder,
            written: 'text',
          },
        ]
  })
  return { given, problems: [] }
}

/**
 * Reads environment variables; `from` is `environment` or a file's name. An empty variable counts
 * as not set.
 */
export function readVariables(variables: Variables, from: string, folder: string): Reading {
  const where = (name: string) =>
    from === 'environment' ? `${name} (environment)` : `${from}:${name}`
  const given = KEYS.flatMap((key) => {
    const name = settingOf(key).env.find((candidate) => variables[candidate])
    return name === undefined
      ? []
      : [{ key, value: variables[name], where: where(name), folder, written: 'text' as const }]
  })
  const known = KEYS.flatMap((key) => settingOf(key).env)
  const problems = Object.keys(variables)
    .filter(
      (name) =>
        /^EARSHOT_/i.test(name) && !name.startsWith('EARSHOT_TEST_') && !known.includes(name),
    )
    .map((name) => ({ where: where(name), what: unknown(name, known) }))
  return { given, problems }
}

/** Reads the text of a .env file, as Node itself does. */
export function readDotenv(file: ConfigFile): Variables {
  return parseEnv(file.text)
}

/**
 * Makes a database address of DB_HOST, DB_PORT, DB_USER, DB_PASSWORD and DB_NAME, which may be
 * spread over environment and .env. Without DB_HOST the others mean nothing: they may belong to
 * another program.
 */
export function readDatabaseParts(
  environment: Variables,
  dotenv: Variables,
  folder: string,
): Reading & { fromEnvironment: boolean } {
  const part = (name: (typeof DATABASE_PARTS)[number]) => environment[name] || dotenv[name]
  const host = part('DB_HOST')
  const fromEnvironment = Boolean(environment.DB_HOST)
  if (!host) return { given: [], problems: [], fromEnvironment }
  const missing = (['DB_USER', 'DB_NAME'] as const).filter((name) => !part(name))
  if (missing.length > 0) {
    const problems = missing.map((name) => ({
      where: name,
      what: 'is missing; expected beside DB_HOST, which is set',
    }))
    return { given: [], problems, fromEnvironment }
  }
  const dbPort = part('DB_PORT') ?? '5432'
  if (!/^\d{1,5}$/.test(dbPort)) {
    return {
      given: [],
      problems: [
        { where: 'DB_PORT', what: `is ${JSON.stringify(dbPort)}; expected a port number` },
      ],
      fromEnvironment,
    }
  }
  const password = part('DB_PASSWORD')
  const login =
    encodeURIComponent(part('DB_USER') ?? '') + (password ? `:${encodeURIComponent(password)}` : '')
  const name = encodeURIComponent(part('DB_NAME') ?? '')
  // A host that starts with a slash is the folder of a socket.
  const address = host.startsWith('/')
    ? `postgres://${login}@localhost:${dbPort}/${name}?host=${encodeURIComponent(host)}`
    : `postgres://${login}@${host.includes(':') && !host.startsWith('[') ? `[${host}]` : host}:${dbPort}/${name}`
  return {
    given: [
      {
        key: 'database.url',
        value: address,
        where: 'DB_HOST and the other DB_ variables',
        folder,
        written: 'text',
      },
    ],
    problems: [],
    fromEnvironment,
  }
}

/**
 * Reads config.yaml: settings may be nested (`node: { id: … }`); a key without a value counts as
 * not set.
 */
export function readYaml(file: ConfigFile): Reading {
  // Loaded here and not above: most commands run without a config.yaml, and need not wait for it.
  const { isAlias, isMap, isScalar, LineCounter, parseDocument } = createRequire(import.meta.url)(
    'yaml',
  ) as typeof import('yaml')
  const label = path.basename(file.path)
  const lines = new LineCounter()
  const document = parseDocument(file.text, { lineCounter: lines, uniqueKeys: true })
  const problems: Problem[] = document.errors.map((error) => ({
    where: `${label}, line ${lines.linePos(error.pos[0]).line}`,
    what: `is not YAML: ${error.message.split('\n')[0]?.replace(/ at line \d+, column \d+:?$/, '')}`,
  }))
  const given: Given[] = []
  const warnings: string[] = []
  if (problems.length > 0 || document.contents === null) return { given, problems }
  if (!isMap(document.contents))
    return {
      given,
      problems: [
        { where: label, what: 'holds no settings; expected lines such as "home: ./.earshot"' },
      ],
    }

  const folder = path.dirname(file.path)
  const walk = (map: YAMLMap, prefix: string): void => {
    for (const { key: keyNode, value: node } of map.items) {
      const written = prefix + String(isScalar(keyNode) ? keyNode.value : keyNode)
      const key = FORMER_KEYS.get(written) ?? written
      const where = `${label}:${written}`
      if (key !== written) warnings.push(`${where} is now called ${key}; write it so.`)
      const resolved = isAlias(node) ? node.resolve(document) : node
      if (isSettingKey(key)) {
        const value: unknown =
          isMap(resolved) || !isScalar(resolved)
            ? document.createNode(resolved)?.toJS(document)
            : resolved.value
        if (value !== null && value !== undefined)
          given.push({ key, value, where, folder, written: 'yaml' })
      } else if ([...KEYS, ...FORMER_KEYS.keys()].some((known) => known.startsWith(`${key}.`))) {
        if (isMap(resolved)) walk(resolved, `${key}.`)
        else if (!isScalar(resolved) || resolved.value !== null)
          problems.push({
            where,
            what: `is ${shown(isScalar(resolved) ? resolved.value : [])}; expected a group of settings: ${membersOf(key)}`,
          })
      } else {
        problems.push({ where, what: unknown(key, KEYS) })
      }
    }
  }
  walk(document.contents, '')
  return { given, problems, warnings }
}

const membersOf = (group: string) =>
  KEYS.filter((key) => key.startsWith(`${group}.`))
    .map((key) => key.slice(group.length + 1))
    .join(', ')

function unknown(name: string, known: readonly string[]): string {
  const nearest = closest(name, known)
  return `is not a setting${nearest === undefined ? '' : `; did you mean ${nearest}?`}`
}

/** A value as it is shown in an error: short, and without what must stay secret. */
export function shown(value: unknown, secret = false): string {
  if (secret && !/^[a-z][a-z0-9+.-]*:\/\//i.test(String(value)))
    return 'a secret that is not shown here'
  if (secret) {
    // Up to the last @: a password with an @ or / in it, not encoded, is one of the ways in which
    // an address is wrong.
    return JSON.stringify(
      maskSecrets(String(value).replace(/^([^:]*):\/\/([^:@/]*):.*@/, '$1://$2:***@')),
    )
  }
  // An address may carry a password where none belongs.
  const json = maskSecrets(JSON.stringify(value) ?? String(value))
  return json.length > 80 ? `${json.slice(0, 77)}…` : json
}

/**
 * The known name that differs least from `name`, when it is near enough to be a slip of the
 * keyboard.
 */
export function closest(name: string, known: readonly string[]): string | undefined {
  const ranked = known
    .map((candidate) => ({ candidate, far: distance(name.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.far - b.far)
  const best = ranked[0]
  if (best && best.far <= Math.max(2, Math.floor(name.length / 4))) return best.candidate
  // `port` at the top level is most likely http.port or node.port.
  return known.find((candidate) =>
    candidate.toLowerCase().endsWith(`.${name.toLowerCase().split('.').at(-1)}`),
  )
}

/**
 * Levenshtein distance: how many letters must be changed, added or taken away (V. Levenshtein,
 * 1966).
 */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
