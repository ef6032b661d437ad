import { ChatMessage, ChatTool, ToolChoice, withParameters } from '@earshot/contract'
import { z } from 'zod'

const Format = z.discriminatedUnion('type', [
  z.object({ type: z.literal('text') }),
  z.object({ type: z.literal('json_object') }),
  z.object({
    type: z.literal('json_schema'),
    json_schema: z.object({ schema: z.record(z.string(), z.unknown()) }),
  }),
])

/** What is left out may be null: clients send answers back as they got them. */
const maybe = <S extends z.ZodType>(schema: S) =>
  schema.nullish().transform((given) => given ?? undefined)
const { name, tool_calls, tool_call_id } = ChatMessage.shape
const Message = ChatMessage.extend({
  name: maybe(name.unwrap()),
  tool_calls: maybe(tool_calls.unwrap()),
  tool_call_id: maybe(tool_call_id.unwrap()),
})

/** -1 is what clients of llama-server, LM Studio and Ollama say for "no limit". */
const Limit = z.union(
  [z.literal(-1), z.number().int().positive()],
  'expected a whole number above 0',
)

/**
 * Fields that are not named here change nothing, and are passed over; those that would change the
 * answer are refused.
 */
export const ChatRequest = z.object({
  model: z.string().min(1).max(200),
  messages: z.array(Message).min(1).max(10_000),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
  tools: z.array(ChatTool).max(128).nullish(),
  tool_choice: ToolChoice.nullish(),
  response_format: Format.nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  max_tokens: Limit.nullish(),
  max_completion_tokens: Limit.nullish(),
  stop: z
    .union([z.string(), z.array(z.string()).max(16)], 'expected a text, or up to 16 texts')
    .nullish(),
  seed: z.number().int().nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  n: z.literal(1, 'one answer is given at a time').nullish(),
  logprobs: z.literal(false, 'no engine here tells them').nullish(),
  functions: z.null('this is the old name: use tools').optional(),
  audio: z.null('chats are text; speech is made by /v1/audio/speech').optional(),
})
export type ChatRequest = z.output<typeof ChatRequest>

/** What a `generate` job is sent with. */
export function generatePayload(asked: ChatRequest): Record<string, unknown> {
  const {
    messages,
    tool_choice,
    response_format: format,
    temperature,
    top_p,
    seed,
    stop,
    frequency_penalty,
    presence_penalty,
  } = asked
  const max_tokens = limitOf(asked.max_completion_tokens) ?? limitOf(asked.max_tokens)
  // Schemas travel as text, which keeps their order.
  const tools = asked.tools?.map((tool) => withParameters(tool, (schema) => JSON.stringify(schema)))
  return present({
    messages,
    tools,
    tool_choice,
    format:
      format?.type === 'json_object'
        ? 'json'
        : format?.type === 'json_schema'
          ? JSON.stringify(format.json_schema.schema)
          : undefined,
    options: present({
      temperature,
      top_p,
      max_tokens,
      seed,
      stop,
      frequency_penalty,
      presence_penalty,
    }),
    stream: asked.stream === true,
  })
}

const limitOf = (tokens: number | null | undefined): number | undefined =>
  tokens == null || tokens < 0 ? undefined : tokens

const present = (fields: Record<string, unknown>) =>
  Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined && value !== null),
  )
