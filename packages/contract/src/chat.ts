import { z } from 'zod'

/**
 * JSON Schema of what a tool takes, or of what is to be answered; as it is, or as JSON text. Models
 * answer in the order in which a schema names its fields, and the database keeps no order of keys:
 * text does.
 */
const JsonSchema = z.union(
  [
    z.record(z.string(), z.unknown()),
    z.string().max(1_000_000).refine(isObjectText, 'expected a JSON Schema'),
  ],
  'expected a JSON Schema',
)
const Text = z.string().max(10_000_000)
const ToolName = z
  .string()
  .regex(/^[\w-]{1,64}$/, 'expected letters, digits, dashes and underscores, up to 64')

const MODEL_NAME = 'expected the name of a model, such as llama3.2:1b'
/**
 * The name of a model, as anyone who serves it calls it: some call it by the path of its file, some
 * put spaces in. Nothing here opens a file by it.
 */
export const ModelName = z
  .string()
  .regex(/^[^\p{C}]{1,200}$/u, MODEL_NAME)
  .refine((name) => name.trim() === name, MODEL_NAME)

/** A part of a message: text, or a picture as an address or a `data:` URL. */
export const ChatPart = z.discriminatedUnion('type', [
  z.object({ type: z.literal('text'), text: Text }),
  z.object({
    type: z.literal('image_url'),
    image_url: z.object({ url: z.string().max(50_000_000), detail: z.string().optional() }),
  }),
])
export type ChatPart = z.infer<typeof ChatPart>

/**
 * A call that the model asks for. `arguments`: JSON, as the model wrote it: it may be no valid
 * JSON.
 */
export const ToolCall = z.object({
  id: z.string(),
  type: z.literal('function'),
  function: z.object({ name: z.string(), arguments: z.string() }),
})
export type ToolCall = z.infer<typeof ToolCall>

/** One message of a conversation, shaped as OpenAI's chat completions have it. */
export const ChatMessage = z.object({
  role: z.enum(['system', 'developer', 'user', 'assistant', 'tool']),
  content: z
    .union(
      [Text, z.array(ChatPart).max(1_000)],
      'expected a text of up to 10,000,000 characters, or a list of parts of type "text" or "image_url"',
    )
    .nullish(),
  name: z.string().optional(),
  tool_calls: z.array(ToolCall).max(128).optional(),
  tool_call_id: z.string().optional(),
})
export type ChatMessage = z.infer<typeof ChatMessage>

/** A function that the model may ask to be called. */
export const ChatTool = z.object({
  type: z.literal('function'),
  function: z.object({
    name: ToolName,
    description: z.string().optional(),
    parameters: JsonSchema.optional(),
    strict: z.boolean().nullish(),
  }),
})
export type ChatTool = z.infer<typeof ChatTool>

export const ToolChoice = z.union(
  [
    z.enum(['none', 'auto', 'required']),
    z.object({ type: z.literal('function'), function: z.object({ name: ToolName }) }),
  ],
  'expected "none", "auto", "required", or {"type": "function", "function": {"name": "…"}}',
)
export type ToolChoice = z.infer<typeof ToolChoice>

/** How the model is to answer; what is left out is as the model has it. */
export const GenerateOptions = z.object({
  temperature: z.number().min(0).max(2).optional(),
  top_p: z.number().min(0).max(1).optional(),
  /** Most tokens of the answer. */
  max_tokens: z.number().int().positive().optional(),
  stop: z.union([z.string(), z.array(z.string()).max(16)]).optional(),
  seed: z.number().int().optional(),
  frequency_penalty: z.number().min(-2).max(2).optional(),
  presence_penalty: z.number().min(-2).max(2).optional(),
})
export type GenerateOptions = z.infer<typeof GenerateOptions>

/** What a language model is asked. */
export const GenerateRequest = z.object({
  /** The node's default model, unless given. */
  model: ModelName.optional(),
  messages: z.array(ChatMessage).min(1).max(10_000),
  tools: z.array(ChatTool).max(128).optional(),
  tool_choice: ToolChoice.optional(),
  /**
   * `json`: any JSON object. A JSON Schema: an answer that fits it; see there for the order of its
   * fields.
   */
  format: z.union([z.literal('json'), JsonSchema]).optional(),
  options: GenerateOptions.optional(),
  /**
   * How long the model stays loaded afterwards: `10m`, or seconds; -1 forever. Engines that cannot
   * tell leave it out.
   */
  keep_alive: z
    .union([
      z.string().regex(/^-?\d+(\.\d+)?(ms|s|m|h)?$/, 'expected a time such as 10m'),
      z.number(),
    ])
    .optional(),
  /** Whether anyone who asked hears the answer as it is made. */
  stream: z.boolean().optional(),
})
export type GenerateRequest = z.output<typeof GenerateRequest>

/** The whole answer. */
export const Generated = z.object({
  /** The model that answered, by its own name. */
  model: z.string(),
  message: z.object({
    role: z.literal('assistant'),
    content: z.string(),
    tool_calls: z.array(ToolCall).optional(),
  }),
  /**
   * length: cut off at the most tokens, or at the end of what the model can hold. content_filter: a
   * server would not say it.
   */
  finish_reason: z.enum(['stop', 'length', 'tool_calls', 'content_filter']),
  usage: z.object({
    prompt_tokens: z.number().int().nonnegative(),
    completion_tokens: z.number().int().nonnegative(),
  }),
  engine: z.string(),
})
export type Generated = z.output<typeof Generated>

/**
 * A piece of an answer while it is made; put together they are its message. A tool call comes
 * whole, in one piece.
 */
export type GenerateDelta = { content?: string; tool_calls?: ToolCall[] }

/** The same request, its schemas as they are: what was text is read, in its own order. */
export function withSchemas({ format, tools, ...request }: GenerateRequest): GenerateRequest {
  return {
    ...request,
    ...(format === undefined ? {} : { format: format === 'json' ? format : schemaOf(format) }),
    ...(tools === undefined ? {} : { tools: tools.map((tool) => withParameters(tool, schemaOf)) }),
  }
}

/** The same tool, with what `change` makes of the schema of its parameters, where it has one. */
export function withParameters(
  tool: ChatTool,
  change: (schema: z.infer<typeof JsonSchema>) => z.infer<typeof JsonSchema>,
): ChatTool {
  const { parameters } = tool.function
  return parameters === undefined
    ? tool
    : { ...tool, function: { ...tool.function, parameters: change(parameters) } }
}

const schemaOf = (given: z.infer<typeof JsonSchema>): Record<string, unknown> =>
  typeof given === 'string' ? (JSON.parse(given) as Record<string, unknown>) : given

function isObjectText(text: string): boolean {
  try {
    const read: unknown = JSON.parse(text)
    return typeof read === 'object' && read !== null && !Array.isArray(read)
  } catch {
    return false
  }
}
