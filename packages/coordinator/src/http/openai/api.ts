import type { Config } from '@earshot/shared/config'
import type { FastifyReply } from 'fastify'
import type { Submission } from '@earshot/db/functions/jobs'
import type { Context } from '../context.ts'
import type { Answered, Hear } from '../../jobs/awaited-jobs.ts'
import { type Aliases, createAliases, type OpenAiKind } from '../../models/aliases.ts'
import { createModels, type Models, type Picked } from '../../models/registry.ts'

export type OpenAiApiSettings = Config['openaiApi']
export const OPENAI_API_DEFAULTS: OpenAiApiSettings = { aliases: {}, waitS: 60, timeoutS: 900 }

/** What the routes of OpenAI's protocol share. */
export type OpenAiApi = {
  aliases: Aliases
  models: Models
  /**
   * Sends a request into the mesh as an interactive job. When the client goes away the job is
   * cancelled. The headers X-Earshot-Job, X-Earshot-Node and X-Earshot-Model are set on the answer
   * as soon as they are known.
   */
  ask(
    reply: FastifyReply,
    kind: OpenAiKind,
    picked: Picked,
    payload: Record<string, unknown>,
    hear?: Hear,
  ): Promise<{ id: number; answer: Promise<Answered> }>
}

export function createOpenAiApi({ db, awaitedJobs, openaiApi: settings }: Context): OpenAiApi {
  const aliases = createAliases(settings.aliases)
  return {
    aliases,
    models: createModels({ db: db.pool, aliases }),
    async ask(reply, kind, { model, requires, role }, payload, hear) {
      const job: Submission = {
        kind,
        payload: {
          ...(storable(payload) as Record<string, unknown>),
          ...(model !== undefined && { model }),
        },
        ...(requires && { requires }),
        ...(role !== undefined && { role }),
      }
      const { id, answer } = await awaitedJobs.ask(job, {
        withinS: settings.timeoutS,
        signal: goneSignal(reply),
        hear,
      })
      reply.header('x-earshot-job', id)
      return { id, answer: answer.then((answered) => tell(reply, answered)) }
    },
  }
}

/**
 * The same with every text as the database can hold it, where JSON can say more: without NULs,
 * which no one reads, and with a replacement character for half an emoji, which clients send that
 * cut texts by length.
 */
function storable(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll('\0', '').toWellFormed()
  if (Array.isArray(value)) return value.map(storable)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, storable(part)]))
}

/** Fires when the client's connection ends before the answer does. */
export function goneSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController()
  const leave = (): void => {
    if (!reply.raw.writableFinished)
      gone.abort(new Error('The client that asked for it went away.'))
  }
  if (reply.raw.destroyed) leave()
  reply.raw.once('close', leave)
  return gone.signal
}

function tell(reply: FastifyReply, answered: Answered): Answered {
  if (reply.raw.headersSent) return answered
  const {
    node,
    result: { model, engine },
  } = answered
  if (node !== null) reply.header('x-earshot-node', node)
  const served = typeof model === 'string' ? model : engine
  if (typeof served === 'string') reply.header('x-earshot-model', headerText(served))
  return answered
}

/** Names of models may hold any character; headers may not. */
export const headerText = (text: string): string => text.replace(/[^\x20-\x7e]/g, '?')
