import { EarshotError, type GenerateDelta, type GenerateRequest, type ToolCall } from '@earshot/shared/contract'
import { z } from 'zod'
import type { TextGenerator } from './engine.ts'
import { type OpenAiServer, linesOf, refusal, sentenceIn } from './http.ts'

const CallPiece = z.object({ index: z.number().int().nonnegative(), id: z.string().nullish(), function: z.object({ name: z.string().nullish(), arguments: z.string().nullish() }).nullish() })
/** One piece of a streamed answer; what else servers put in is left alone. */
const Piece = z.object({
  choices: z.array(z.object({
    delta: z.object({ content: z.string().nullish(), tool_calls: z.array(CallPiece).nullish() }).nullish(),
    finish_reason: z.string().nullish(),
  })).default([]),
  usage: z.object({ prompt_tokens: z.number().int(), completion_tokens: z.number().int() }).partial().nullish(),
})

type Answer = { content: string; calls: ToolCall[]; finish: string | undefined; usage: { prompt_tokens: number; completion_tokens: number } }

/** A conversation's next message from a server that speaks OpenAI's protocol; always streamed, so that a hang shows and an abort ends it. */
export async function chatWith(server: OpenAiServer, input: GenerateRequest & { model: string }, onDelta: (delta: GenerateDelta) => void): ReturnType<TextGenerator['generate']> {
  const { body } = await server.post('/chat/completions', toOpenAi(input), 'text/event-stream')
  const answer: Answer = { content: '', calls: [], finish: undefined, usage: { prompt_tokens: 0, completion_tokens: 0 } }
  const { who } = server.asking
  if (body === null) throw new EarshotError('EARSHOT_ENGINE_FAILED', `${who} gave an empty answer.`)
  let done = false
  for await (const line of linesOf(body, server.asking)) {
    // Comments keep the connection alive; event names and ids say nothing here.
    // Whatever JSON lets stand in a text, U+2028 too.
    const data = /^data: ?(.*)$/s.exec(line)?.[1]
    if (data === undefined) continue
    done = data === '[DONE]'
    if (done) break
    take(answer, readPiece(data, who), onDelta)
  }
  if (!done && answer.finish === undefined) throw new EarshotError('EARSHOT_ENGINE_FAILED', `${who} ended its answer before it was done.`)
  if (answer.calls.length > 0) onDelta({ tool_calls: answer.calls })
  return {
    model: input.model,
    message: { role: 'assistant', content: answer.content, ...(answer.calls.length === 0 ? {} : { tool_calls: answer.calls }) },
    finish_reason: answer.calls.length > 0 ? 'tool_calls' : answer.finish === 'length' ? 'length' : 'stop',
    usage: answer.usage,
  }
}

function toOpenAi({ model, messages, tools, tool_choice, format, options = {} }: GenerateRequest & { model: string }): object {
  return {
    model, messages, stream: true, stream_options: { include_usage: true }, ...options,
    ...(tools === undefined || tools.length === 0 ? {} : { tools, ...(tool_choice === undefined ? {} : { tool_choice }) }),
    ...(format === undefined ? {} : { response_format: format === 'json' ? { type: 'json_object' } : { type: 'json_schema', json_schema: { name: 'answer', schema: format } } }),
  }
}

function readPiece(data: string, who: string): z.output<typeof Piece> {
  let said: unknown
  try {
    said = JSON.parse(data)
  } catch (cause) {
    throw new EarshotError('EARSHOT_ENGINE_FAILED', `${who} broke off in the middle of its answer.`, { cause })
  }
  if (typeof said === 'object' && said !== null && 'error' in said) throw refusal(who, 500, sentenceIn(data))
  const piece = Piece.safeParse(said)
  if (piece.success) return piece.data
  throw new EarshotError('EARSHOT_ENGINE_FAILED', `${who} answered what is not OpenAI's protocol.`, { cause: piece.error })
}

function take(answer: Answer, { choices: [choice], usage }: z.output<typeof Piece>, onDelta: (delta: GenerateDelta) => void): void {
  if (usage) answer.usage = { prompt_tokens: usage.prompt_tokens ?? 0, completion_tokens: usage.completion_tokens ?? 0 }
  if (choice === undefined) return
  const { delta, finish_reason } = choice
  if (delta?.content) {
    answer.content += delta.content
    onDelta({ content: delta.content })
  }
  for (const { index, id, function: piece } of delta?.tool_calls ?? []) {
    if (index > answer.calls.length) throw new EarshotError('EARSHOT_ENGINE_FAILED', 'A tool call came without the one before it.')
    const call = (answer.calls[index] ??= { id: id || `call_${index}`, type: 'function', function: { name: '', arguments: '' } })
    call.function.name += piece?.name ?? ''
    call.function.arguments += piece?.arguments ?? ''
  }
  answer.finish = finish_reason ?? answer.finish
}
