import { z } from 'zod'
import { ModelName } from '@earshot/contract'
import { LOG_LEVELS } from '../log.ts'
import {
  adviseOnDatabaseAddress,
  adviseOnSslMode,
  isDatabaseAddress,
  withHost,
} from './database-address.ts'
import { adviseOnRedisAddress, parseRedisAddress } from '../transport/address.ts'

/**
 * One setting: where it may be written, which values it takes, and its default. This table is the
 * only list of settings: the loader, the command's flags, docs/configuration.md and the checks of
 * both follow from it.
 */
export type Setting<S extends z.ZodType = z.ZodType> = {
  schema: S
  /** The names of the environment variables, the first one preferred; also valid in .env. */
  env: readonly string[]
  /** The long flag without its dashes. Secrets have none: every user can read command lines. */
  flag?: string
  /**
   * How text from the environment or a flag becomes a value: `tags` is
   * `gpu=nvidia-3060,vram_gb=12`; `slots` is `2` or `tts=4,stt_batch=1`; `duration` is `90s`, `5m`,
   * `12h`, `7d` or a number of seconds, in config.yaml too.
   */
  text: 'text' | 'number' | 'list' | 'tags' | 'slots' | 'path' | 'duration' | 'address'
  /** Which values it takes, for the error: "expected …". */
  expected: string
  /** The likely fault of a text that is refused, where it is known. */
  advise?: (text: string) => string | undefined
  /** For the docs and `--help`. */
  about: string
  /** For the docs, where the default is not a plain value. */
  default: string
  secret?: boolean
  /** The port of an address that names none. */
  port?: number
}

const setting = <S extends z.ZodType>(definition: Setting<S>): Setting<S> => definition

const text = z.string().trim().min(1)
const port = z.number().int().min(0).max(65535)
const seconds = z
  .number()
  .positive()
  .max(10 * 365 * 86_400)
const kept = z
  .number()
  .min(0)
  .max(100 * 365 * 86_400)
const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/)
const role = z.string().regex(/^[a-z][a-z0-9_]{0,63}$/)
const slots = z.number().int().min(1).max(1024)
const roleOrAll = z.string().regex(/^(\*|[a-z][a-z0-9_]{0,63})$/)
const webAddress = z.url({ protocol: /^https?$/ })
const hostName = z.string().regex(/^[A-Za-z0-9.:_-]+$/)
const postgresAddress = z.string().refine(isDatabaseAddress).transform(withHost).pipe(z.url())

const redisAddress = z
  .string()
  .trim()
  .refine((address) => parseRedisAddress(address) !== undefined)

/** Whether an address has only host, port and path; secrets have settings of their own. */
function isPlain(address: string): boolean {
  const { username, password, search } = new URL(address)
  return username === '' && password === '' && search === ''
}

/** Whether the percent-encoding of an address can be decoded. */
const A_PORT = 'a whole number from 0 to 65535'
const AN_ADDRESS = 'an address such as http://192.168.1.5:7700'
const SECONDS = 'a number of seconds above 0'
const HOW_LONG = 'a time such as 12h or 90d'
const A_NAME =
  'a name of letters, digits, dots, dashes and underscores, up to 128 characters, such as linux-01'

/** Every setting by the name it has in config.yaml. */
export const SETTINGS = {
  home: setting({
    schema: text,
    env: ['EARSHOT_HOME'],
    flag: 'home',
    text: 'path',
    expected: 'a folder',
    about:
      "The folder for everything that Earshot keeps: the embedded database, media, this node's id",
    default: './.earshot',
  }),
  url: setting({
    schema: webAddress,
    env: ['EARSHOT_URL'],
    flag: 'url',
    text: 'address',
    port: 7700,
    expected: AN_ADDRESS,
    about: 'Where commands find the mesh',
    default: 'from http.host and http.port',
  }),
  key: setting({
    schema: z.string().regex(/^[\x21-\x7e]{1,512}$/),
    env: ['EARSHOT_KEY'],
    text: 'text',
    secret: true,
    expected: 'up to 512 letters, digits and signs, without spaces',
    about: 'The mesh key; once it is set, every client and every worker needs it',
    default: 'none: loopback only',
  }),
  'inbox.path': setting({
    schema: text,
    env: ['EARSHOT_INBOX'],
    flag: 'inbox',
    text: 'path',
    expected: 'a folder',
    about: 'The watched folder: Earshot takes in every file that is dropped here',
    default: './inbox',
  }),
  'inbox.settle_s': setting({
    schema: seconds,
    env: [],
    text: 'number',
    expected: SECONDS,
    about:
      "How long a file's size and time must stand still before it counts as complete, where its writer cannot be observed",
    default: '10',
  }),
  'http.host': setting({
    schema: hostName,
    env: ['EARSHOT_HOST'],
    flag: 'host',
    text: 'text',
    expected: 'a host name or IP address to listen on',
    about:
      'The address that the coordinator listens on; any address but loopback needs EARSHOT_KEY',
    default: '127.0.0.1',
  }),
  'http.port': setting({
    schema: port,
    env: ['EARSHOT_PORT'],
    flag: 'port',
    text: 'number',
    expected: A_PORT,
    about: 'The port that the coordinator listens on; 0 picks a free one',
    default: '7700',
  }),
  'http.advertise': setting({
    schema: webAddress,
    env: ['EARSHOT_ADVERTISE'],
    flag: 'advertise',
    text: 'address',
    port: 7700,
    expected: AN_ADDRESS,
    about: 'The address at which workers on other boxes reach this coordinator',
    default: 'from http.host and http.port',
  }),
  'node.id': setting({
    schema: name,
    env: ['NODE_ID'],
    flag: 'node-id',
    text: 'text',
    expected: A_NAME,
    about:
      "This node's id; of two running workers with one id, the newer takes the place of the older",
    default: 'drawn once, kept in EARSHOT_HOME/node-id',
  }),
  'node.name': setting({
    schema: text.max(200),
    env: ['NODE_NAME'],
    flag: 'node-name',
    text: 'text',
    expected: 'a name of up to 200 characters',
    about: "This node's name, for people",
    default: "the node's id",
  }),
  'node.host': setting({
    schema: hostName,
    env: [],
    flag: 'node-host',
    text: 'text',
    expected: 'a host name or IP address',
    about: 'The address of this box, as shown to people',
    default: "the machine's host name",
  }),
  'node.port': setting({
    schema: port,
    env: [],
    flag: 'node-port',
    text: 'number',
    expected: A_PORT,
    about: "The worker's own status port; 0 picks a free one",
    default: '0',
  }),
  'node.roles': setting({
    schema: z.array(role).min(1),
    env: [],
    flag: 'roles',
    text: 'list',
    expected: 'a list of roles such as stt_batch, tts, rag_engine',
    about: 'The roles that this node offers',
    default: 'every role this machine can serve',
  }),
  'node.tags': setting({
    schema: z.record(
      z.string().regex(/^[a-z][a-z0-9_.-]{0,63}$/),
      z.union([z.string(), z.number(), z.boolean()]),
    ),
    env: [],
    flag: 'tags',
    text: 'tags',
    expected: 'names, each with a text, a number, true or false, such as gpu: nvidia-3060',
    about: 'Facts about this node, added to those that it finds',
    default: 'the facts that it finds',
  }),
  'node.slots': setting({
    schema: z.union([slots, z.record(roleOrAll, slots)]),
    env: [],
    flag: 'slots',
    text: 'slots',
    expected:
      'a whole number from 1 to 1024, or one for each role, such as stt_batch: 1; * limits all roles together',
    about: 'How many jobs of a role this node runs at once',
    default: 'the number of cores',
  }),
  'node.self_test': setting({
    schema: z.enum(['on', 'off']),
    env: ['EARSHOT_SELF_TEST'],
    text: 'text',
    expected: 'on or off',
    about:
      'Whether the node checks its speech engines after it joined; an engine that fails is not offered',
    default: 'on',
  }),
  'database.url': setting({
    schema: postgresAddress,
    env: ['DATABASE_URL'],
    text: 'text',
    secret: true,
    expected: 'an address such as postgres://user:password@host:5432/database',
    advise: adviseOnDatabaseAddress,
    about: 'The PostgreSQL server of the mesh; workers may use a pooled address',
    default: 'none: the embedded database',
  }),
  'database.direct_url': setting({
    schema: postgresAddress,
    env: ['DATABASE_DIRECT_URL'],
    text: 'text',
    secret: true,
    expected: 'an address such as postgres://user:password@host:5432/database',
    advise: adviseOnDatabaseAddress,
    about: 'The same database without the pooler, for LISTEN',
    default: 'database.url',
  }),
  'database.sslmode': setting({
    schema: z.enum(['disable', 'require', 'verify-ca', 'verify-full']),
    env: ['DB_SSL_MODE'],
    text: 'text',
    expected: 'one of disable, require, verify-ca, verify-full',
    advise: adviseOnSslMode,
    about:
      'TLS to the database: off, encrypted, checked against a CA, or with the host name checked too',
    default: 'as the address says, else disable',
  }),
  'database.ssl_ca': setting({
    schema: text,
    env: ['DB_SSL_CA'],
    text: 'path',
    expected: 'a file with CA certificates in PEM',
    about: 'The CA file for verify-ca and verify-full',
    default: "the system's",
  }),
  'database.pool_size': setting({
    schema: z.number().int().min(2).max(1000),
    env: ['DB_MAX_OPEN_CONNS'],
    text: 'number',
    expected: 'a whole number from 2 to 1000',
    about: 'The most connections that a process holds',
    default: '10',
  }),
  'database.idle_timeout_s': setting({
    schema: seconds,
    env: [],
    text: 'duration',
    expected: SECONDS,
    about: 'After how long an idle connection is closed',
    default: '30',
  }),
  'database.max_lifetime_s': setting({
    schema: seconds,
    env: ['DB_CONN_MAX_LIFETIME'],
    text: 'duration',
    expected: SECONDS,
    about: 'After how long a connection is replaced; the variable also takes 5m or 1h',
    default: '1800',
  }),
  'database.connect_timeout_s': setting({
    schema: seconds,
    env: [],
    text: 'duration',
    expected: SECONDS,
    about: 'How long to wait for a connection',
    default: '10',
  }),
  'redis.url': setting({
    schema: redisAddress,
    env: ['REDIS_URL'],
    text: 'text',
    secret: true,
    expected: 'an address such as redis://user:password@host:6379/0',
    advise: adviseOnRedisAddress,
    about: 'A Redis that carries wake-ups, hints and progress; nothing is kept there',
    default: 'none: everything goes through PostgreSQL and HTTP',
  }),
  'log.level': setting({
    schema: z.enum(LOG_LEVELS),
    env: ['EARSHOT_LOG_LEVEL'],
    flag: 'log-level',
    text: 'text',
    expected: `one of ${LOG_LEVELS.join(', ')}`,
    about: 'The least level that is logged, to standard error',
    default: 'info',
  }),
  'limits.max_duration_s': setting({
    schema: seconds,
    env: [],
    text: 'number',
    expected: SECONDS,
    about: 'The longest recording that is taken in',
    default: '43200',
  }),
  'limits.max_media_gb': setting({
    schema: z.number().positive().max(1e6),
    env: [],
    text: 'number',
    expected: 'a number of gigabytes above 0',
    about: 'The largest file that is taken in, in units of 10^9 bytes',
    default: '20',
  }),
  'retention.completed': setting({
    schema: kept,
    env: [],
    text: 'duration',
    expected: HOW_LONG,
    about: 'How long completed and cancelled jobs stay before they are archived',
    default: '7d, or the value in earshot.settings',
  }),
  'retention.failed': setting({
    schema: kept,
    env: [],
    text: 'duration',
    expected: HOW_LONG,
    about: 'How long failed jobs stay before they are archived',
    default: '90d, or the value in earshot.settings',
  }),
  'retention.archived': setting({
    schema: kept,
    env: [],
    text: 'duration',
    expected: HOW_LONG,
    about: 'How long archived jobs and their events stay before they are deleted',
    default: '365d, or the value in earshot.settings',
  }),
  'retention.events': setting({
    schema: kept,
    env: [],
    text: 'duration',
    expected: HOW_LONG,
    about: 'How long events stay that concern no job',
    default: '90d, or the value in earshot.settings',
  }),
  'retention.nodes': setting({
    schema: kept,
    env: [],
    text: 'duration',
    expected: HOW_LONG,
    about: 'How long a node may be offline before it is forgotten',
    default: '30d, or the value in earshot.settings',
  }),
  'retention.speech': setting({
    schema: kept,
    env: [],
    text: 'duration',
    expected: HOW_LONG,
    about: 'How long synthesised speech stays',
    default: '90d, or the value in earshot.settings',
  }),
  'retention.uploads': setting({
    schema: kept,
    env: [],
    text: 'duration',
    expected: HOW_LONG,
    about: 'How long an upload stays that nothing refers to; at least an hour',
    default: '7d, or the value in earshot.settings',
  }),
  'retention.documents': setting({
    schema: kept,
    env: [],
    text: 'duration',
    expected: HOW_LONG,
    about: 'How long documents stay, with their transcripts and events',
    default: 'for good, or the value in earshot.settings',
  }),
  'retention.media': setting({
    schema: kept,
    env: [],
    text: 'duration',
    expected: HOW_LONG,
    about: 'How long an uploaded original stays after its document is ready',
    default: 'as long as the document, or the value in earshot.settings',
  }),
  'embed.model': setting({
    schema: ModelName,
    env: ['EARSHOT_EMBED_MODEL'],
    text: 'text',
    expected: 'the name of a model, such as nomic-embed-text',
    about:
      'The model that embeds documents besides the built-in lexical one, so that a search finds them by what they mean; lexical-384 for none',
    default: 'lexical-384, or the value in earshot.settings',
  }),
  'embed.floor': setting({
    schema: z.number().min(-1).max(1),
    env: ['EARSHOT_EMBED_FLOOR'],
    text: 'number',
    expected: 'a number from -1 to 1',
    about:
      'The least cosine similarity at which a text counts as found by embed.model; used only with embed.model',
    default: 'depends on the model (engines.md)',
  }),
  'embed.wait_s': setting({
    schema: seconds,
    env: [],
    text: 'duration',
    expected: SECONDS,
    about:
      'How long a search waits for a node to embed its query with embed.model before it goes by words alone',
    default: '1.5',
  }),
  'openai_servers.urls': setting({
    schema: z.array(webAddress.refine(isPlain)).max(32),
    env: ['EARSHOT_OPENAI_URLS'],
    text: 'list',
    expected:
      'a list of addresses such as http://gaming-pc:8080/v1, without names, passwords and ?: a key belongs in openai_servers.key',
    about:
      "Servers with OpenAI's protocol (llama-server, vLLM, LM Studio, …) that this node offers; what a server does not say about its models goes behind a #: http://box:8000/v1#transcribe=whisper-1",
    default: 'none',
  }),
  'openai_servers.key': setting({
    schema: z.string().regex(/^[\x21-\x7e]{1,2000}$/),
    env: ['EARSHOT_OPENAI_KEY'],
    text: 'text',
    secret: true,
    expected: 'a key without spaces',
    about: 'The key that is sent to each of openai_servers.urls',
    default: 'none',
  }),
  'openai_api.aliases': setting({
    schema: z.record(z.string().min(1), z.union([z.string().min(1), z.number()]).transform(String)),
    env: ['EARSHOT_ALIASES'],
    text: 'tags',
    expected: 'names, each with the name of a model or voice, such as gpt-4o: qwen3:32b',
    about:
      "What names of models and voices that are built into OpenAI's clients mean here, besides the defaults (openai.md)",
    default: 'none',
  }),
  'openai_api.wait_s': setting({
    schema: seconds,
    env: [],
    text: 'duration',
    expected: SECONDS,
    about: "How long a request over OpenAI's protocol waits until a node begins with it",
    default: '60',
  }),
  'openai_api.timeout_s': setting({
    schema: seconds,
    env: [],
    text: 'duration',
    expected: SECONDS,
    about: 'How long such a request may take in all',
    default: '900',
  }),
  'whisper.build': setting({
    schema: z.enum(['cpu', 'cuda', 'vulkan', 'metal']),
    env: ['EARSHOT_WHISPER_BUILD'],
    text: 'text',
    expected: 'one of cpu, cuda, vulkan, metal',
    about: 'What whisper.cpp runs on',
    default: 'the GPU where its build is installed, else cpu',
  }),
  'engines.silence_s': setting({
    schema: seconds,
    env: ['EARSHOT_ENGINE_SILENCE'],
    text: 'duration',
    expected: SECONDS,
    about:
      'How long a server engine may send nothing for a request while it answers other questions; a server that answers nothing at all is given up within a minute',
    default: '300',
  }),
  ollama_host: setting({
    schema: webAddress,
    env: ['OLLAMA_HOST'],
    text: 'address',
    port: 11434,
    expected: 'an address such as http://localhost:11434',
    about: 'Where Ollama answers',
    default: 'http://127.0.0.1:11434',
  }),
} as const

export type SettingKey = keyof typeof SETTINGS
/** What was given, by key; absent where nothing was. */
export type Values = { [K in SettingKey]?: z.output<(typeof SETTINGS)[K]['schema']> }

/** Environment variables that together stand for DATABASE_URL. */
export const DATABASE_PARTS = ['DB_HOST', 'DB_PORT', 'DB_USER', 'DB_PASSWORD', 'DB_NAME'] as const
