import { randomUUID } from 'node:crypto'
import {
  type ChatMessage,
  EarshotError,
  type GenerateRequest,
  type ToolCall,
} from '@earshot/contract'
import type { ChatRequest, Message, ToolCall as OllamaToolCall } from 'ollama'

/**
 * What is asked, in Ollama's words. Its context is not cut in silence: what does not fit is
 * refused.
 *
 * @throws EarshotError EARSHOT_BAD_REQUEST for what Ollama has not: a tool that must be called,
 *   pictures by address
 */
export function toOllama({
  model,
  messages,
  tools,
  tool_choice,
  format,
  options = {},
  keep_alive,
}: GenerateRequest & { model: string }): ChatRequest & { stream: true } {
  if (tool_choice === 'required' || typeof tool_choice === 'object') {
    throw new EarshotError(
      'EARSHOT_BAD_REQUEST',
      'Ollama cannot be told that a tool must be called.',
      { field: 'tool_choice', hint: 'Leave it at "auto".' },
    )
  }
  const { temperature, top_p, max_tokens, stop, seed, frequency_penalty, presence_penalty } =
    options
  const given = {
    temperature,
    top_p,
    seed,
    frequency_penalty,
    presence_penalty,
    num_predict: max_tokens,
    stop: typeof stop === 'string' ? [stop] : stop,
  }
  const request = {
    model,
    stream: true as const,
    messages: messages.map((message) => toMessage(message, messages)),
    options: Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
    // Newer than the client's types; older servers do not mind.
    truncate: false,
    shift: false,
    ...(tools === undefined || tool_choice === 'none'
      ? {}
      : { tools: tools as ChatRequest['tools'] & {} }),
    ...(format === undefined ? {} : { format }),
    ...(keep_alive === undefined ? {} : { keep_alive }),
  }
  return request
}

function toMessage(
  { role, content, tool_calls, tool_call_id, name }: ChatMessage,
  all: readonly ChatMessage[],
): Message {
  const parts =
    typeof content === 'string' || content == null
      ? [{ type: 'text' as const, text: content ?? '' }]
      : content
  const images = parts.flatMap((part) =>
    part.type === 'image_url' ? [pictureOf(part.image_url.url)] : [],
  )
  const called =
    name ??
    all.flatMap((message) => message.tool_calls ?? []).find(({ id }) => id === tool_call_id)
      ?.function.name
  return {
    role: role === 'developer' ? 'system' : role,
    content: parts.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('\n'),
    ...(images.length === 0 ? {} : { images }),
    ...(tool_calls === undefined
      ? {}
      : {
          tool_calls: tool_calls.map(({ function: { name: tool, arguments: given } }) => ({
            function: { name: tool, arguments: argumentsOf(given) },
          })),
        }),
    ...(role === 'tool' && called !== undefined ? { tool_name: called } : {}),
  }
}

function pictureOf(url: string): string {
  const base64 = /^data:[^;,]*;base64,(.*)$/s.exec(url)?.[1]
  if (base64 !== undefined) return base64
  throw new EarshotError(
    'EARSHOT_BAD_REQUEST',
    'A picture is given by its address; Ollama takes pictures only as they are.',
    { field: 'messages', hint: 'Send it as data:image/png;base64,…' },
  )
}

function argumentsOf(text: string): Record<string, unknown> {
  try {
    const given: unknown = JSON.parse(text === '' ? '{}' : text)
    if (typeof given === 'object' && given !== null && !Array.isArray(given))
      return given as Record<string, unknown>
  } catch {
    // Told below.
  }
  throw new EarshotError(
    'EARSHOT_BAD_REQUEST',
    `The arguments of a tool call are no JSON object: ${text.slice(0, 100)}`,
    { field: 'messages' },
  )
}

/** Ollama gives its calls no id; anyone who answers them names one. */
export function fromToolCalls(calls: readonly OllamaToolCall[]): ToolCall[] {
  return calls.map(({ function: { name, arguments: given } }) => ({
    id: `call_${randomUUID().replaceAll('-', '').slice(0, 24)}`,
    type: 'function',
    function: { name, arguments: JSON.stringify(given ?? {}) },
  }))
}
