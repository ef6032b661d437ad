import { EarshotError, type Generated } from '@earshot/contract'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { parse } from '../input.ts'
import type { Delta } from '../../jobs/awaited-jobs.ts'
import { ChatRequest, generatePayload } from './chat-request.ts'
import { type OpenAiApi, headerText } from './api.ts'
import type { Picked } from '../../models/registry.ts'
import { answerBySse, createSse } from './sse.ts'

/** Pictures travel inside messages. */
const BODY_LIMIT = 32 * 2 ** 20

/** POST /v1/chat/completions: whole, or token by token as server-sent events. */
export function chatRoutes(scope: FastifyInstance, openaiApi: OpenAiApi): void {
  scope.post('/v1/chat/completions', { bodyLimit: BODY_LIMIT }, async (request, reply) => {
    const asked = parse(ChatRequest, request.body)
    const picked = await openaiApi.models.pick('generate', asked.model)
    if (asked.stream === true) return stream(asked, picked, reply, openaiApi)
    const { id, answer } = await openaiApi.ask(reply, 'generate', picked, generatePayload(asked))
    return completion(id, generated((await answer.catch(tooLong)).result))
  })
}

async function stream(
  asked: ChatRequest,
  picked: Picked,
  reply: FastifyReply,
  openaiApi: OpenAiApi,
): Promise<FastifyReply> {
  const sse = createSse(reply)
  const created = now()
  const said = { content: '', calls: false }
  const chunk = (id: number, choices: object[], more: object = {}) =>
    sse.send({
      id: name(id),
      object: 'chat.completion.chunk',
      created,
      model: picked.model,
      system_fingerprint: null,
      choices,
      ...more,
    })
  const say = async (id: number, delta: object): Promise<void> => {
    if (!sse.begun) delta = { role: 'assistant', content: '', ...delta }
    await chunk(id, [{ index: 0, delta, logprobs: null, finish_reason: null }])
  }

  const { id, answer } = await openaiApi.ask(
    reply,
    'generate',
    picked,
    generatePayload(asked),
    async (delta, { id: job, node }) => {
      if (!sse.begun)
        reply.headers({
          'x-earshot-job': job,
          'x-earshot-node': node,
          'x-earshot-model': headerText(picked.model ?? ''),
        })
      const piece = pieceOf(delta)
      said.content += piece.content ?? ''
      said.calls ||= 'tool_calls' in piece
      if (Object.keys(piece).length > 0) await say(job, piece)
    },
  )
  return answerBySse(reply, sse, async () => {
    const {
      message,
      finish_reason: reason,
      usage,
    } = generated((await answer.catch(tooLong)).result)
    // An engine that tells nothing as it goes, or its calls only at the end; pieces that came later
    // than the end.
    const content = message.content.startsWith(said.content)
      ? message.content.slice(said.content.length)
      : ''
    const rest = {
      ...(content !== '' && { content }),
      ...(!said.calls && message.tool_calls?.length
        ? { tool_calls: indexed(message.tool_calls) }
        : {}),
    }
    if (!sse.begun || Object.keys(rest).length > 0) await say(id, rest)
    await chunk(id, [{ index: 0, delta: {}, logprobs: null, finish_reason: reason }])
    if (asked.stream_options?.include_usage) await chunk(id, [], { usage: totals(usage) })
  })
}

/**
 * Engines may tell it as something that is too large; clients know it by another name, and by the
 * field that holds it.
 */
function tooLong(error: unknown): never {
  if (
    !(error instanceof EarshotError) ||
    !['EARSHOT_TOO_LARGE', 'EARSHOT_CONTEXT_TOO_LONG'].includes(error.code)
  )
    throw error
  throw new EarshotError('EARSHOT_CONTEXT_TOO_LONG', error.message, { field: 'messages' })
}

const generated = (result: unknown): Generated => result as Generated

function pieceOf({ content, tool_calls: calls }: Delta): {
  content?: string
  tool_calls?: object[]
} {
  return {
    ...(typeof content === 'string' && content !== '' && { content }),
    ...(Array.isArray(calls) && calls.length > 0 && { tool_calls: indexed(calls as object[]) }),
  }
}

/** Clients put calls together by their place. */
const indexed = (calls: object[]): object[] => calls.map((call, index) => ({ index, ...call }))

function completion(id: number, { model, message, finish_reason, usage }: Generated) {
  return {
    id: name(id),
    object: 'chat.completion',
    created: now(),
    model,
    system_fingerprint: null,
    choices: [
      {
        index: 0,
        message: { refusal: null, ...message, content: message.content ?? null },
        logprobs: null,
        finish_reason,
      },
    ],
    usage: totals(usage),
  }
}

function totals({ prompt_tokens, completion_tokens }: Generated['usage']) {
  return { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
}

const name = (job: number): string => `chatcmpl-${job}`
const now = (): number => Math.floor(Date.now() / 1000)
