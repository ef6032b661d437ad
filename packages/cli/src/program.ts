import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { EarshotError, JOB_STATUSES } from '@earshot/contract'
import { SETTINGS, type Setting, type SettingKey } from '@earshot/shared/config/settings'
import { createContext, type Context, type Flags } from './context.ts'
import { EXIT } from './exit-code.ts'
import { createOutput, showError } from './output.ts'
import type { Surroundings } from './surroundings.ts'
import { VERSION } from '@earshot/shared/version'

/**
 * What a file in commands/ exports: runs with its arguments and options, answers with the exit code
 * (nothing is 0).
 */
export type CommandModule = {
  run(context: Context, args: string[], options: Record<string, unknown>): Promise<number | void>
}

type Definition = {
  name: string
  /** As commander writes them: `<needed>`, `[optional]`, `<several...>`. */
  args?: string
  about: string
  example: string
  options?: Option[]
  /** The settings this command takes as flags. */
  settings?: SettingKey[]
  /** Whether it becomes a part of the mesh. */
  joins?: boolean
  load: () => Promise<CommandModule>
}

const positive = (what: string) => (text: string) => {
  const number = Number(text)
  if (!Number.isInteger(number) || number < 1)
    throw new InvalidArgumentError(`Expected ${what}: a whole number above 0.`)
  return number
}

const SECONDS_IN: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400 }

/** `90s`, `5m`, `2h` or `7d` in seconds. */
function age(text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)([smhd])$/.exec(text) ?? []
  if (number === undefined || unit === undefined)
    throw new InvalidArgumentError('Expected an age such as 90s, 5m, 2h or 7d.')
  return Number(number) * (SECONDS_IN[unit] ?? 1)
}

const STATUS = () => new Option('--status <status>', 'only these').choices(JOB_STATUSES)
const CHOICE = () => [
  STATUS(),
  new Option('--kind <kind>', 'only of this kind'),
  new Option('--node <node>', 'only those that this node has, or had when they ended'),
  new Option(
    '--older <age>',
    'only those that ended, or were submitted, longer ago than 90s, 5m, 2h or 7d',
  ).argParser(age),
  new Option('--dry-run', 'change nothing, show what would be'),
]
const GROUPS: Record<string, string> = {
  db: 'Look after the database.',
  node: 'Hold a node back, or let it work again.',
  models: 'Look after the models of this box.',
}

const COORDINATOR: SettingKey[] = ['http.host', 'http.port', 'http.advertise', 'inbox.path']
const WORKER: SettingKey[] = [
  'node.id',
  'node.name',
  'node.host',
  'node.port',
  'node.roles',
  'node.tags',
  'node.slots',
]

const DEFINITIONS: Definition[] = [
  {
    name: 'up',
    about: 'Run a whole mesh here: coordinator, one worker, inbox and HTTP API.',
    example: 'earshot up --inbox ~/recordings',
    settings: [...COORDINATOR, ...WORKER],
    joins: true,
    load: () => import('./commands/up.ts'),
  },
  {
    name: 'coordinator',
    about: 'Run a coordinator of a mesh around DATABASE_URL: routing, inbox and HTTP API.',
    example: 'DATABASE_URL=postgres://… earshot coordinator --host 0.0.0.0',
    settings: [...COORDINATOR, 'node.id'],
    joins: true,
    load: () => import('./commands/coordinator.ts'),
  },
  {
    name: 'worker',
    about: 'Join the mesh around DATABASE_URL with what this machine can do.',
    example: 'DATABASE_URL=postgres://… earshot worker --roles stt_batch,tts',
    settings: WORKER,
    joins: true,
    load: () => import('./commands/worker.ts'),
  },
  {
    name: 'add',
    args: '<file...>',
    about: 'Send recordings or text files into the mesh.',
    example: 'earshot add talk.mp3 --wait',
    options: [
      new Option('--wait', 'wait until they are ready, then print the transcripts'),
      new Option('--interactive', 'put them before all batch work, because someone waits'),
      new Option(
        '--language <code>',
        'the language spoken in them, such as de; the engine detects it unless given',
      ),
    ],
    load: () => import('./commands/add.ts'),
  },
  {
    name: 'say',
    args: '<text...>',
    about: 'Turn text into speech.',
    example: 'earshot say "The kettle is on." -o kettle.wav',
    options: [
      new Option(
        '-o, --output <file>',
        'the file to write; its ending chooses the format, such as .wav or .mp3',
      ).makeOptionMandatory(),
      new Option('--voice <name>', 'a voice of the engine'),
    ],
    load: () => import('./commands/say.ts'),
  },
  {
    name: 'search',
    args: '<query...>',
    about: 'Find what was said: in which file, at which second.',
    example: 'earshot search "harbour lighthouse"',
    options: [
      new Option('--limit <number>', 'how many hits at most')
        .argParser(positive('how many hits'))
        .default(10),
    ],
    load: () => import('./commands/search.ts'),
  },
  {
    name: 'transcript',
    args: '<document>',
    about: "Print a document's text; the document by its number or its title.",
    example: 'earshot transcript 3 --format srt',
    options: [
      new Option('--format <format>', 'what to print')
        .choices(['txt', 'srt', 'vtt', 'json'])
        .default('txt'),
    ],
    load: () => import('./commands/transcript.ts'),
  },
  {
    name: 'jobs',
    about: 'List jobs, newest first.',
    example: 'earshot jobs --status failed',
    options: [
      STATUS(),
      new Option('--limit <number>', 'how many at most')
        .argParser(positive('how many jobs'))
        .default(20),
    ],
    load: () => import('./commands/jobs.ts'),
  },
  {
    name: 'jobs retry',
    args: '[id...]',
    about:
      'Try jobs again that failed, were cancelled or rest after a failure: by number, or all that fit.',
    example: 'earshot jobs retry --status failed --older 1h --dry-run',
    options: CHOICE(),
    load: () => import('./commands/jobs-retry.ts'),
  },
  {
    name: 'jobs cancel',
    args: '[id...]',
    about: 'Cancel jobs: by number, or all that fit.',
    example: 'earshot jobs cancel --kind transcribe --status pending',
    options: CHOICE(),
    load: () => import('./commands/jobs-cancel.ts'),
  },
  {
    name: 'why',
    args: '<job>',
    about: 'Tell why a job waits, node by node, and when it is expected to start.',
    example: 'earshot why 12',
    load: () => import('./commands/why.ts'),
  },
  {
    name: 'job',
    args: '<id>',
    about: 'Show a job: its state, its error, what happened to it.',
    example: 'earshot job 12',
    load: () => import('./commands/job.ts'),
  },
  {
    name: 'cancel',
    args: '<id...>',
    about: 'Cancel jobs.',
    example: 'earshot cancel 12 13',
    load: () => import('./commands/cancel.ts'),
  },
  {
    name: 'prune',
    about: 'Show what is past its retention, and with --yes delete it now.',
    example: 'earshot prune',
    options: [
      new Option('--dry-run', 'change nothing, as without --yes').conflicts('yes'),
      new Option('--yes', 'delete it now'),
    ],
    load: () => import('./commands/prune.ts'),
  },
  {
    name: 'kinds',
    about: 'List the kinds of job that the mesh knows.',
    example: 'earshot kinds',
    load: () => import('./commands/kinds.ts'),
  },
  {
    name: 'enqueue',
    args: '<kind> [payload]',
    about: 'Hand a job of any kind to the mesh; the payload is JSON.',
    example: 'earshot enqueue word-count \'{"text": "to be or not to be"}\' --wait',
    options: [new Option('--wait', 'wait until it is done, then print its result')],
    load: () => import('./commands/enqueue.ts'),
  },
  {
    name: 'top',
    about: 'Watch nodes, lanes and jobs live; q leaves.',
    example: 'earshot top --once',
    options: [new Option('--once', 'print one frame as plain text and end')],
    load: () => import('./commands/top.ts'),
  },
  {
    name: 'nodes',
    about: 'List the nodes of the mesh.',
    example: 'earshot nodes',
    load: () => import('./commands/nodes.ts'),
  },
  {
    name: 'node drain',
    args: '<node>',
    about: 'Let a node finish what it has and give it nothing more until it is resumed.',
    example: 'earshot node drain attic',
    load: () => import('./commands/node-drain.ts'),
  },
  {
    name: 'node resume',
    args: '<node>',
    about: 'Let a drained or quarantined node work again.',
    example: 'earshot node resume attic',
    load: () => import('./commands/node-resume.ts'),
  },
  {
    name: 'node quarantine',
    args: '<node>',
    about:
      'Take a node out: what it has goes back at once, and it gets nothing more until it is resumed.',
    example: 'earshot node quarantine attic --reason "It smells of smoke."',
    options: [new Option('--reason <sentence>', 'the reason, shown to everyone who asks')],
    load: () => import('./commands/node-quarantine.ts'),
  },
  {
    name: 'models list',
    about: 'List the models of this box, and those it could have.',
    example: 'earshot models list',
    load: () => import('./commands/models-list.ts'),
  },
  {
    name: 'models pull',
    args: '<model>',
    about: 'Download a model: one of whisper.cpp, or through Ollama any other.',
    example: 'earshot models pull base.en',
    options: [
      new Option(
        '--from <url>',
        "another place for models of whisper.cpp: this address, a slash, the file's name",
      ),
    ],
    load: () => import('./commands/models-pull.ts'),
  },
  {
    name: 'models rm',
    args: '<model>',
    about: 'Delete a model from this box.',
    example: 'earshot models rm base.en',
    load: () => import('./commands/models-rm.ts'),
  },
  {
    name: 'models use',
    args: '<model>',
    about: 'Choose the model for jobs on this box that name none.',
    example: 'earshot models use small',
    load: () => import('./commands/models-use.ts'),
  },
  {
    name: 'db check',
    about: 'Tell whether the database answers and holds the schema. Changes nothing.',
    example: 'earshot db check',
    load: () => import('./commands/db-check.ts'),
  },
  {
    name: 'db init',
    about: 'Create or update the schema.',
    example: 'earshot db init --dry-run --show-sql',
    options: [
      new Option('--dry-run', 'only tell what would be done'),
      new Option('--show-sql', 'print the SQL'),
    ],
    load: () => import('./commands/db-init.ts'),
  },
  {
    name: 'db nodes',
    about: 'List the nodes, read from the database when no mesh answers.',
    example: 'earshot db nodes',
    load: () => import('./commands/db-nodes.ts'),
  },
  {
    name: 'doctor',
    about: 'Tell what works on this machine, what is missing, and the command that repairs it.',
    example: 'earshot doctor',
    load: () => import('./commands/doctor.ts'),
  },
]

const GLOBAL_SETTINGS: SettingKey[] = ['url', 'home', 'log.level']

/**
 * Runs the command in `surroundings.argv`.
 *
 * @returns the exit code; 2 when the arguments are wrong, which has then been said
 * @throws whatever the command throws
 */
export async function runProgram(surroundings: Surroundings): Promise<number> {
  let code: number = EXIT.ok
  const said: string[] = []
  const program = createProgram(surroundings, said, (result) => (code = result))
  try {
    await program.parseAsync(surroundings.argv, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    return endOfParsing(error, said, surroundings)
  }
  return code
}

function endOfParsing(
  error: CommanderError,
  said: string[],
  { argv, stdout, stderr }: Surroundings,
): number {
  // Help and version that were asked for have been written; `earshot` alone shows the help as well,
  // but has done nothing.
  if (error.exitCode === 0) return EXIT.ok
  const json = argv.includes('--json')
  if (!json) {
    for (const text of said) stderr.write(text)
    return EXIT.usage
  }
  const message =
    error.code === 'commander.help'
      ? 'No command was given.'
      : (error.message.replace(/^error: /, '').split('\n')[0] ?? '')
  const sentence = message.charAt(0).toUpperCase() + message.slice(1)
  showError(
    createOutput(stdout, stderr, { json, noColor: true }),
    new EarshotError('EARSHOT_BAD_REQUEST', /[.!?]$/.test(sentence) ? sentence : `${sentence}.`, {
      hint: 'earshot --help',
    }),
  )
  return EXIT.usage
}

function createProgram(
  surroundings: Surroundings,
  said: string[],
  done: (code: number) => void,
): Command {
  const program = new Command('earshot')
    .description(
      'The computers you own, as one machine that listens, speaks and finds what was said.',
    )
    .version(VERSION, '-V, --version', 'print the version')
    .helpCommand(false)
    .helpOption('-h, --help', 'print this help')
    .exitOverride()
    .showSuggestionAfterError()
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => void surroundings.stdout.write(text),
      writeErr: (text) => void said.push(text),
      getOutHelpWidth: () => surroundings.stdout.columns ?? 100,
      getErrHelpWidth: () => surroundings.stderr.columns ?? 100,
      outputError: (text, write) => write(text.replace(/^error: /, 'earshot: ')),
    })
    .option('--json', 'print the result as JSON')
    .option('--config <file>', 'settings file (default: config.yaml here, if there is one)')
  for (const key of GLOBAL_SETTINGS) program.addOption(settingOption(key))
  program.addHelpText(
    'after',
    '\nExit codes: 0 done, 1 failed, 2 wrong arguments or settings, 3 no mesh answers, 130 interrupted.\nExample: npm start, then  earshot add talk.mp3 --wait',
  )
  for (const definition of DEFINITIONS) addCommand(program, definition, surroundings, done)
  return program
}

function addCommand(
  program: Command,
  definition: Definition,
  surroundings: Surroundings,
  done: (code: number) => void,
): void {
  const words = definition.name.split(' ')
  const parent = words.length === 1 ? program : groupOf(program, words[0] ?? '')
  const command = parent.command(
    `${words.at(-1)}${definition.args === undefined ? '' : ` ${definition.args}`}`,
  )
  command.description(definition.about).addHelpText('after', `\nExample: ${definition.example}`)
  for (const option of definition.options ?? []) command.addOption(option)
  for (const key of definition.settings ?? []) command.addOption(settingOption(key))
  command.action(async () => {
    const options = command.optsWithGlobals<Record<string, unknown>>()
    const context = createContext(surroundings, {
      flags: flagsOf(command, options),
      configFile: options.config as string | undefined,
      json: options.json === true,
      joins: definition.joins === true,
    })
    const { run } = await definition.load()
    done((await run(context, command.args, options)) ?? EXIT.ok)
  })
}

function groupOf(program: Command, name: string): Command {
  return (
    program.commands.find((command) => command.name() === name) ??
    program
      .command(name)
      .description(GROUPS[name] ?? '')
      .helpCommand(false)
  )
}

function settingOption(key: SettingKey): Option {
  const { flag, about, text }: Setting = SETTINGS[key]
  const kind =
    text === 'number' || text === 'slots'
      ? 'number'
      : text === 'path'
        ? 'folder'
        : text === 'list'
          ? 'names'
          : text === 'tags'
            ? 'name=value'
            : text === 'address'
              ? 'address'
              : key === 'log.level'
                ? 'level'
                : 'text'
  const option = new Option(`--${flag} <${kind}>`, about.charAt(0).toLowerCase() + about.slice(1))
  // Given twice, lists and tags add up.
  if (text === 'list' || text === 'tags')
    option.argParser((value, before: string[] | undefined) => [...(before ?? []), value])
  return option
}

/** The settings among the options, by the long names of their flags. */
function flagsOf(command: Command, options: Record<string, unknown>): Flags {
  const flags: Flags = {}
  for (const { flag } of Object.values<Setting>(SETTINGS)) {
    const option = [...command.options, ...rootOf(command).options].find(
      (candidate) => candidate.long === `--${flag}`,
    )
    if (option !== undefined)
      flags[option.name()] = options[option.attributeName()] as string | string[] | undefined
  }
  return flags
}

function rootOf(command: Command): Command {
  return command.parent === null ? command : rootOf(command.parent)
}
