import { KINDS, type Kind } from '@earshot/shared/contract'
import type { Config } from '@earshot/shared/config'
import type { Database } from '@earshot/shared/db/database'
import type { Engines } from './engines/index.ts'
import { type BuiltIn, builtIn, type HandledKind } from './handle.ts'
import { createEmbed } from './kinds/embed.ts'
import { createRead } from './kinds/read.ts'
import { createSpeak } from './kinds/speak.ts'
import { createTranscribe } from './kinds/transcribe.ts'
import type { MediaClient } from './media.ts'
import type { Handler } from './run-job.ts'

export type Offering = {
  roles: string[]
  handlers: Map<string, Handler>
  slots: Record<string, number>
  /** For people: which engine serves which kind. */
  capabilities: Record<string, unknown>
}

/** What this worker offers: the kinds whose engines work here and those of the users' own, within the roles that were configured. */
export function createOffer(options: { db: Database; media: MediaClient; engines: Engines; kinds: readonly HandledKind[]; config: Config }): Offering {
  const { db, media, engines, kinds, config } = options
  const handlers = new Map<string, Handler>()
  const serving: Record<string, string> = {}
  const roles = new Set<string>()
  const add = (kind: string, role: string, engine: string, handler: Handler) => {
    if (config.node.roles !== null && !config.node.roles.includes(role)) return
    handlers.set(kind, handler)
    serving[kind] = engine
    roles.add(role)
  }
  const offer = <K extends Kind>(kind: K, engine: string, run: BuiltIn<K>) => add(kind, KINDS[kind].role, engine, builtIn(kind, run))
  const { transcribe, speak, embed } = engines
  if (transcribe) offer('transcribe', transcribe.name, createTranscribe({ media, engine: transcribe, maxDurationS: config.limits.maxDurationS }))
  if (speak) offer('speak', speak.name, createSpeak({ media, engine: speak }))
  if (embed) {
    offer('embed', embed.name, createEmbed({ db, engine: embed }))
    offer('read', 'built-in', createRead({ media }))
  }
  for (const { definition, handler } of kinds) add(definition.kind, definition.role, 'own', handler)
  return { roles: [...roles], handlers, slots: slotsOf([...roles], config.node.slots), capabilities: { engines: serving } }
}

function slotsOf(roles: string[], slots: number | Record<string, number>): Record<string, number> {
  if (typeof slots === 'number') return Object.fromEntries(roles.map((role) => [role, slots]))
  const total = slots['*']
  return { ...Object.fromEntries(roles.map((role) => [role, slots[role] ?? total ?? 1])), ...(total === undefined ? {} : { '*': total }) }
}
