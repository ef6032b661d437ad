import { EarshotError, KINDS, type Requires } from '@earshot/contract'
import type { Queryable } from '@earshot/db/functions/call'
import {
  type SpeechNeeds,
  WHISPER_LANGUAGES,
  canHear,
  languagesText,
} from '@earshot/shared/languages'
import { monotonicMs } from '@earshot/db/monotonic'
import { type NodeModels, readNodeModels } from '../queries/models.ts'
import { list } from '../why/words.ts'
import type { Aliases, OpenAiKind } from './aliases.ts'

/** One model as the mesh offers it. */
export type Model = {
  name: string
  /** Other names of it. */
  aliases: string[]
  kinds: string[]
  engine: string
  /** What a node must offer; undefined: as the kind is. */
  role: string | undefined
  size: number | undefined
  dimensions: number | undefined
  /** Tokens that it can hold, where its engine says. */
  context: number | undefined
  /** Nodes that offer it and are up, and those that would and are not. */
  up: string[]
  away: string[]
  /** That it speaks in; empty where no one says. */
  voices: string[]
  /** Of speech that it hears. */
  languages: readonly string[]
  translates: boolean
}

/** What a request wants of anyone who does it, beside the model. */
export type Wishes = SpeechNeeds & {
  /** That it is to speak in: any engine will do that has it. */
  voice?: string | undefined
}

/** What a request is sent on with. */
export type Picked = {
  model?: string
  requires?: Requires
  role?: string
  dimensions?: number | undefined
}

export type Models = {
  /** By name. */
  list(): Promise<Model[]>
  /**
   * What is meant by a name that a client gave.
   *
   * @throws EarshotError EARSHOT_UNKNOWN_MODEL with the models there are; EARSHOT_NO_NODE when no
   *   one who is up offers it; EARSHOT_BAD_REQUEST, with the languages there are, when no one at
   *   all hears the one that is asked for
   */
  pick(kind: OpenAiKind, asked: string, wishes?: Wishes): Promise<Picked>
}

type Known = { nodes: NodeModels[]; models: Model[]; at: number }

/** Requests come in swarms, nodes hardly change; a name that is not found is looked for again. */
const FRESH_MS = 1_000

export function createModels({ db, aliases }: { db: Queryable; aliases: Aliases }): Models {
  let known: Known | undefined

  async function read(): Promise<Known> {
    const nodes = await readNodeModels(db)
    known = { nodes, models: modelsOf(nodes), at: monotonicMs() }
    return known
  }

  function find(
    kind: OpenAiKind,
    asked: string,
    wishes: Wishes,
    { nodes, models }: Known,
  ): Picked | EarshotError {
    const name = aliases.model(asked)
    const able = models.filter(({ kinds }) => kinds.includes(kind))
    const named =
      able.find((model) => model.name === name) ??
      able.find((model) => model.aliases.includes(name))
    const deaf = kind === 'transcribe' ? unheard(named, able, wishes) : undefined
    if (named !== undefined) return deaf ?? (named.up.length > 0 ? exactly(named) : notUp(named))
    const size = aliases.builtIn(kind, name)
    if (size === false) return notOffered(name, nodes) ?? unknown(asked, kind, able)
    if (kind === 'generate' || kind === 'vectors') return oneOf(kind, able, size)
    if (deaf !== undefined) return deaf
    return wishes.voice === undefined
      ? anyNode(kind, nodes)
      : (speaksAs(wishes.voice, able) ?? anyNode(kind, nodes))
  }

  return {
    list: async () => (await read()).models,
    async pick(kind, asked, wishes = {}) {
      const fresh = known !== undefined && monotonicMs() - known.at < FRESH_MS
      const found = find(kind, asked, wishes, fresh ? known! : await read())
      const looked =
        found instanceof EarshotError && fresh ? find(kind, asked, wishes, await read()) : found
      if (looked instanceof EarshotError) throw looked
      return looked
    },
  }
}

function modelsOf(nodes: readonly NodeModels[]): Model[] {
  const models = new Map<string, Model>()
  for (const { id, up, models: offered } of nodes) {
    for (const [
      name,
      {
        kinds,
        engine,
        size_bytes: size,
        dimensions,
        context,
        role,
        aliases = [],
        voices = [],
        languages = WHISPER_LANGUAGES,
        translates = true,
      },
    ] of Object.entries(offered)) {
      const model: Model = models.get(name) ?? {
        name,
        aliases,
        kinds,
        engine,
        role,
        size,
        dimensions,
        context,
        up: [],
        away: [],
        voices,
        languages,
        translates,
      }
      models.set(name, model)
      const places = up ? model.up : model.away
      places.push(id)
    }
  }
  return [...models.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1))
}

function exactly({ name, role, dimensions }: Model): Picked {
  return { model: name, requires: { [`model:${name}`]: true }, ...(role && { role }), dimensions }
}

/**
 * Tokens and vectors of different models do not go together: one model is meant, and everyone finds
 * the same one.
 */
function oneOf(
  kind: OpenAiKind,
  able: readonly Model[],
  size: 'small' | 'large',
): Picked | EarshotError {
  const up = able.filter((model) => model.up.length > 0)
  // The built-in lexical vectors know words only, no meaning.
  const meaning = up.filter(({ engine }) => !engine.startsWith('lexical'))
  const [best] = (meaning.length > 0 ? meaning : up).toSorted((a, b) => {
    const bySize =
      kind === 'vectors'
        ? 0
        : size === 'small'
          ? compare(a.size ?? Infinity, b.size ?? Infinity)
          : compare(b.size ?? 0, a.size ?? 0)
    return bySize || b.up.length - a.up.length
  })
  if (best !== undefined) return exactly(best)
  const [away] = able
  return away === undefined ? nobody(kind) : notUp(away)
}

/** Infinity less Infinity would be no number. */
const compare = (a: number, b: number): number => (a === b ? 0 : a - b)

/** Any engine will do: the mesh takes the one that is the quickest to begin. */
function anyNode(
  kind: 'transcribe' | 'speak',
  nodes: readonly NodeModels[],
): Picked | EarshotError {
  const able = nodes.filter(({ roles }) => roles.includes(KINDS[kind].role))
  if (able.some(({ up }) => up)) return {}
  return able.length === 0
    ? nobody(kind)
    : noNode(`Only ${list(able.map(({ id, state }) => `${id} (${state})`))} could do it.`)
}

/**
 * Why what was recorded cannot be heard as it is wished, by the model that was asked for or by any
 * there is; undefined when it can.
 */
function unheard(
  named: Model | undefined,
  able: readonly Model[],
  wishes: Wishes,
): EarshotError | undefined {
  const asked = named === undefined ? able : [named]
  const [best] = asked
    .filter((model) => canHear(model, wishes))
    .toSorted((a, b) => b.up.length - a.up.length)
  if (best !== undefined || asked.length === 0)
    return best === undefined || best.up.length > 0 ? undefined : notUp(best)
  const { language } = wishes
  const who = named === undefined ? 'No model of this mesh can' : `Model "${named.name}" cannot`
  const heard = languagesText([...new Set(asked.flatMap(({ languages }) => languages))].sort())
  const translates =
    language === undefined || asked.some(({ languages }) => languages.includes(language))
  const others = able
    .filter((model) => model.up.length > 0 && canHear(model, wishes))
    .map(({ name }) => name)
  const hint = others.length === 0 ? {} : { hint: `Ask for ${list(others)}.` }
  if (translates)
    return new EarshotError('EARSHOT_BAD_REQUEST', `${who} translate speech into English.`, {
      field: 'model',
      ...hint,
    })
  return new EarshotError(
    'EARSHOT_BAD_REQUEST',
    `${who} hear "${language}"; ${named === undefined ? 'the languages there are' : 'it hears'}: ${heard}.`,
    { field: 'language', ...hint },
  )
}

/**
 * Voices of this name may speak through other engines elsewhere; where the engine's variants are
 * told by a `+`, it has them all.
 */
function speaksAs(voice: string, able: readonly Model[]): Picked | undefined {
  const model = able.find(
    ({ up, voices }) =>
      up.length > 0 && (voices.includes(voice) || voices.includes(voice.split('+')[0]!)),
  )
  return model && exactly(model)
}

function notUp({ name, away }: Model): EarshotError {
  return noNode(
    `No node that is up offers model "${name}". It is on ${list(away)}, which ${away.length === 1 ? 'is' : 'are'} away.`,
  )
}

/** A node has it, and does not offer it: for want of memory, say. */
function notOffered(name: string, nodes: readonly NodeModels[]): EarshotError | undefined {
  const reasons = nodes.flatMap(({ id, notOffered: reasons }) =>
    Object.hasOwn(reasons, name) ? [`${id} has it: ${reasons[name]}`] : [],
  )
  return reasons.length === 0
    ? undefined
    : noNode(
        `No node offers model "${name}". ${reasons.join(' ')}`,
        'Ask for another model: GET /v1/models lists them.',
      )
}

const DOES: Record<OpenAiKind, string> = {
  transcribe: 'hears speech',
  speak: 'speaks',
  generate: 'runs a language model',
  vectors: 'makes vectors',
}

function nobody(kind: OpenAiKind): EarshotError {
  return noNode(`No node of this mesh ${DOES[kind]}.`, 'On a box that should, run: earshot doctor')
}

const noNode = (
  sentence: string,
  hint = 'Start such a node, or ask for another model: GET /v1/models lists them.',
): EarshotError => new EarshotError('EARSHOT_NO_NODE', sentence, { hint })

function unknown(asked: string, kind: OpenAiKind, able: readonly Model[]): EarshotError {
  const there = able.filter(({ up }) => up.length > 0).map(({ name }) => name)
  const hint =
    there.length === 0
      ? `There is none that ${DOES[kind]} at the moment.`
      : `There ${there.length === 1 ? 'is' : 'are'}: ${there.join(', ')}.`
  return new EarshotError(
    'EARSHOT_UNKNOWN_MODEL',
    `No node of this mesh has a model "${asked}" for this.`,
    { field: 'model', hint },
  )
}
