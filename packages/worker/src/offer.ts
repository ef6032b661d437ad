import { KINDS, type Kind } from '@earshot/contract'
import type { Config } from '@earshot/shared/config'
import type { Database } from '@earshot/db/database'
import { LANGUAGES_TAG, WHISPER_LANGUAGES, languagesTag } from '@earshot/shared/languages'
import { LEXICAL_MODEL } from '@earshot/shared/lexical'
import type { EngineKind, ModelInfo } from './engines/engine.ts'
import type { Engines } from './engines/registry.ts'
import { type BuiltIn, builtIn, type HandledKind } from './handle.ts'
import { createEmbed } from './kinds/embed.ts'
import { createGenerate } from './kinds/generate.ts'
import { createRead } from './kinds/read.ts'
import { createSpeak } from './kinds/speak.ts'
import { createTranscribe } from './kinds/transcribe.ts'
import { createVectors } from './kinds/vectors.ts'
import type { MediaClient } from './media/client.ts'
import type { Handler } from './execute-job.ts'

/**
 * A model as `nodes.capabilities.models` shows it, under its name. `kinds`: the kinds of jobs it
 * serves.
 */
export type OfferedModel = Omit<ModelInfo, 'name'> & {
  kinds: string[]
  engine: string
  /** Kinds whose jobs get it here when they name none. */ default_for?: string[]
}

export type Offering = {
  roles: string[]
  handlers: Map<string, Handler>
  slots: Record<string, number>
  /**
   * What jobs require: `model:NAME` for each model, `kind:NAME` for each kind of the users' own,
   * the languages that are heard, and whether they are translated.
   */
  tags: Record<string, string | true>
  /** For people and the OpenAI door: which engine serves which kind, and the models there are. */
  capabilities: {
    engines: Record<string, string>
    models: Record<string, OfferedModel>
    /** What is here and does not serve, by its name, with the reason. */ not_offered?: Record<
      string,
      string
    >
  }
}

/**
 * A language model of more bytes than this is no work for small boxes: its node also takes the role
 * llm_heavy.
 */
export const HEAVY_BYTES = 6e9

/**
 * What this worker offers: the kinds whose engines work here and those of the users' own, within
 * the roles that were configured.
 */
export function createOffer(options: {
  db: Database
  media: MediaClient
  engines: Engines
  kinds: readonly HandledKind[]
  config: Config
}): Offering {
  const { db, media, engines, kinds, config } = options
  const handlers = new Map<string, Handler>()
  const serving: Record<string, string> = {}
  const roles = new Set<string>()
  const allows = (role: string) => config.node.roles === null || config.node.roles.includes(role)
  const add = (kind: string, role: string, engine: string, handler: Handler) => {
    if (!allows(role)) return
    handlers.set(kind, handler)
    serving[kind] = engine
    roles.add(role)
  }
  const offer = <K extends Kind>(
    kind: K,
    engine: string,
    run: BuiltIn<K>,
    role: string = KINDS[kind].role,
  ) => add(kind, role, engine, builtIn(kind, run))
  const nameOf = (kind: EngineKind, model?: string) => engines.pick(kind, model)?.engine.name
  const hearing = nameOf('transcribe')
  const speaking = nameOf('speak')
  const thinking = nameOf('generate')
  const comparing = nameOf('embed')
  const indexing = nameOf('embed', LEXICAL_MODEL)
  if (hearing !== undefined)
    offer(
      'transcribe',
      hearing,
      createTranscribe({ media, engines, maxDurationS: config.limits.maxDurationS }),
    )
  if (speaking !== undefined) offer('speak', speaking, createSpeak({ media, engines }))
  if (thinking !== undefined) {
    offer('generate', thinking, createGenerate({ engines }))
    const heavy = engines.serving.some(
      ({ engine, models }) => engine.kind === 'generate' && models.some(isHeavy),
    )
    if (heavy) offer('generate', thinking, createGenerate({ engines }), 'llm_heavy')
  }
  if (comparing !== undefined) offer('vectors', comparing, createVectors({ engines }))
  if (indexing !== undefined) {
    offer('embed', indexing, createEmbed({ db, engines }))
    offer('read', 'built-in', createRead({ media }))
  }
  for (const { definition, handler } of kinds) add(definition.kind, definition.role, 'own', handler)
  const models = modelsOf(engines, handlers)
  const names = Object.entries(models).flatMap(([name, { aliases = [] }]) => [name, ...aliases])
  return {
    roles: [...roles],
    handlers,
    slots: slotsOf([...roles], config.node.slots, {
      [KINDS.transcribe.role]: engines.pick('transcribe')?.engine.parallel,
    }),
    tags: {
      ...Object.fromEntries(names.map((name) => [`model:${name}`, true as const])),
      ...Object.fromEntries(
        kinds
          .filter(({ definition }) => handlers.has(definition.kind))
          .map(({ definition }) => [`kind:${definition.kind}`, true as const]),
      ),
      ...hearingTags(Object.values(models)),
    },
    capabilities: {
      engines: serving,
      models,
      ...(Object.keys(engines.notOffered).length === 0
        ? {}
        : { not_offered: { ...engines.notOffered } }),
    },
  }
}

function hearingTags(models: readonly OfferedModel[]): Record<string, string | true> {
  const hearing = models.filter(({ kinds }) => kinds.includes('transcribe'))
  if (hearing.length === 0) return {}
  return {
    [LANGUAGES_TAG]: languagesTag(
      hearing.flatMap(({ languages = WHISPER_LANGUAGES }) => languages),
    ),
    ...(hearing.some(({ translates }) => translates !== false) ? { translates: true } : {}),
  }
}

const isHeavy = ({ size_bytes }: ModelInfo): boolean => (size_bytes ?? 0) > HEAVY_BYTES

/** What a model of an engine's kind is used for, as kinds of jobs. */
const kindsOf = (kind: EngineKind): Kind[] => (kind === 'embed' ? ['embed', 'vectors'] : [kind])

/** The models of the kinds that are offered; of two engines with one model the first. */
function modelsOf(engines: Engines, handlers: Map<string, Handler>): Record<string, OfferedModel> {
  const models: Record<string, OfferedModel> = {}
  for (const { engine, models: own } of engines.serving) {
    for (const model of own) {
      const kinds = kindsOf(engine.kind).filter((kind) => handlers.has(kind))
      if (kinds.length === 0) continue
      const { name, ...about } = model
      const offered = (models[name] ??= { kinds: [], engine: engine.name, ...about })
      offered.kinds = [...new Set([...offered.kinds, ...kinds])]
      // Documents are first embedded by the lexical model, whatever the node's default is.
      const first = kinds.filter(
        (kind) =>
          engines.pick(engine.kind, kind === 'embed' ? LEXICAL_MODEL : undefined)?.model === model,
      )
      if (first.length > 0) offered.default_for = [...(offered.default_for ?? []), ...first]
    }
  }
  return models
}

/**
 * @param parallel role to the most jobs that its engine does at once; who says how many slots a
 *   role has is believed
 */
function slotsOf(
  roles: string[],
  slots: number | Record<string, number>,
  parallel: Record<string, number | undefined>,
): Record<string, number> {
  if (typeof slots === 'number')
    return Object.fromEntries(roles.map((role) => [role, Math.min(slots, parallel[role] ?? slots)]))
  const total = slots['*']
  return {
    ...Object.fromEntries(roles.map((role) => [role, slots[role] ?? total ?? 1])),
    ...(total === undefined ? {} : { '*': total }),
  }
}
