import {
  EarshotError,
  type GenerateDelta,
  type GenerateRequest,
  type ToolCall,
} from '@earshot/contract'
import { z } from 'zod'
import type { TextGenerator } from './engine.ts'
import { type OpenAiServer, linesFrom, readJson, refusal, sentenceIn } from './http.ts'

const Arguments = z.union([
  z.string(),
  z.record(z.string(), z.unknown()).transform((given) => JSON.stringify(given)),
])
const CallPiece = z.object({
  index: z.number().int().nonnegative().nullish(),
  id: z.string().nullish(),
  function: z.object({ name: z.string().nullish(), arguments: Arguments.nullish() }).nullish(),
})
const Said = z.object({ content: z.string().nullish(), tool_calls: z.array(CallPiece).nullish() })
const Count = z
  .number()
  .nonnegative()
  .nullish()
  .transform((count) => Math.round(count ?? 0))
const Usage = z.object({ prompt_tokens: Count, completion_tokens: Count }).nullish()
/**
 * One piece of a streamed answer, or all of it where a server does not stream; what else servers
 * put in is left alone.
 */
const Piece = z.object({
  choices: z
    .array(
      z.object({
        delta: Said.nullish(),
        message: Said.nullish(),
        finish_reason: z.string().nullish(),
      }),
    )
    .default([]),
  usage: Usage,
})

type Answer = {
  content: string
  calls: ToolCall[]
  /** By the numbers that the server gives them. */ places: Map<number, ToolCall>
  finish: string | undefined
  usage: { prompt_tokens: number; completion_tokens: number }
}

/**
 * A conversation's next message from a server that speaks OpenAI's protocol; always streamed, so
 * that a hang shows and an abort ends it.
 */
export async function chatWith(
  server: OpenAiServer,
  input: GenerateRequest & { model: string },
  onDelta: (delta: GenerateDelta) => void,
): ReturnType<TextGenerator['generate']> {
  const answered = await server.post('/chat/completions', toOpenAi(input), 'text/event-stream')
  const answer: Answer = {
    content: '',
    calls: [],
    places: new Map(),
    finish: undefined,
    usage: { prompt_tokens: 0, completion_tokens: 0 },
  }
  const { who } = server.asking
  if (answered.body === null)
    throw new EarshotError('EARSHOT_ENGINE_FAILED', `${who} gave an empty answer.`)
  // Some do not stream, whatever they are asked.
  let done = answered.headers.get('content-type')?.includes('application/json') === true
  if (done) take(answer, await readJson(answered, Piece, server.asking), onDelta)
  else
    for await (const line of linesFrom(answered.body, server.asking)) {
      // Comments keep the connection alive; event names and ids say nothing here.
      // Whatever JSON lets stand in a text, U+2028 too.
      const data = /^data: ?(.*)$/s.exec(line)?.[1]
      if (data === undefined) continue
      done = data === '[DONE]'
      if (done) break
      take(answer, readPiece(data, who), onDelta)
    }
  if (!done && answer.finish === undefined)
    throw new EarshotError('EARSHOT_ENGINE_FAILED', `${who} ended its answer before it was done.`)
  if (answer.calls.length > 0) onDelta({ tool_calls: answer.calls })
  return {
    model: input.model,
    message: {
      role: 'assistant',
      content: answer.content,
      ...(answer.calls.length === 0 ? {} : { tool_calls: answer.calls }),
    },
    finish_reason:
      answer.calls.length > 0
        ? 'tool_calls'
        : answer.finish === 'length' || answer.finish === 'content_filter'
          ? answer.finish
          : 'stop',
    usage: answer.usage,
  }
}

function toOpenAi({
  model,
  messages,
  tools,
  tool_choice,
  format,
  options = {},
}: GenerateRequest & { model: string }): object {
  return {
    model,
    messages,
    stream: true,
    stream_options: { include_usage: true },
    ...options,
    ...(tools === undefined || tools.length === 0
      ? {}
      : { tools, ...(tool_choice === undefined ? {} : { tool_choice }) }),
    ...(format === undefined
      ? {}
      : {
          response_format:
            format === 'json'
              ? { type: 'json_object' }
              : { type: 'json_schema', json_schema: { name: 'answer', schema: format } },
        }),
  }
}

function readPiece(data: string, who: string): z.output<typeof Piece> {
  let said: unknown
  try {
    said = JSON.parse(data)
  } catch (cause) {
    throw new EarshotError(
      'EARSHOT_ENGINE_FAILED',
      `${who} broke off in the middle of its answer.`,
      { cause },
    )
  }
  if (typeof said === 'object' && said !== null && 'error' in said)
    throw refusal(who, 500, sentenceIn(data))
  const piece = Piece.safeParse(said)
  if (piece.success) return piece.data
  throw new EarshotError(
    'EARSHOT_ENGINE_FAILED',
    `${who} answered what is not OpenAI's protocol.`,
    { cause: piece.error },
  )
}

function take(
  answer: Answer,
  { choices: [choice], usage }: z.output<typeof Piece>,
  onDelta: (delta: GenerateDelta) => void,
): void {
  if (usage) answer.usage = usage
  if (choice === undefined) return
  const { finish_reason } = choice
  const said = choice.delta ?? choice.message
  if (said?.content) {
    answer.content += said.content
    onDelta({ content: said.content })
  }
  for (const piece of said?.tool_calls ?? []) {
    const call = callOf(answer, piece)
    call.function.name += piece.function?.name ?? ''
    call.function.arguments += piece.function?.arguments ?? ''
  }
  answer.finish = finish_reason ?? answer.finish
}

/**
 * The call that a piece goes on with, or a new one. Some servers do not number their calls, or give
 * all of them the same number: a new id begins a new one.
 */
function callOf(
  { calls, places }: Answer,
  { index, id, function: piece }: z.output<typeof CallPiece>,
): ToolCall {
  const before = index == null ? calls.at(-1) : places.get(index)
  const isOther = Boolean(id) && before?.id !== id
  if (before !== undefined && !(isOther && piece?.name) && !(index == null && !id && piece?.name))
    return before
  const call: ToolCall = {
    id: id || `call_${calls.length}`,
    type: 'function',
    function: { name: '', arguments: '' },
  }
  calls.push(call)
  if (index != null) places.set(index, call)
  return call
}
