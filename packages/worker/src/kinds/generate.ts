import { type GenerateDelta, type ToolCall, withSchemas } from '@earshot/contract'
import type { Engines } from '../engines/registry.ts'
import type { BuiltIn } from '../handle.ts'

/** A conversation to its next message; anyone who asked for it hears each piece as it is made. */
export function createGenerate({ engines }: { engines: Engines }): BuiltIn<'generate'> {
  return async ({ reply_to: _, ...request }, { signal, progress, emit, job }) => {
    const { engine, model } = pickFor(engines, request.model, job.role)
    const onDelta = (delta: GenerateDelta) => {
      // No one knows how long it gets; it lives.
      progress(0)
      emit(withoutNul(delta))
    }
    const answer = await engine.generate(
      { ...withSchemas(request), model: model.name },
      { onDelta, onAlive: () => progress(0), signal },
    )
    const { content, tool_calls } = withoutNul(answer.message, (text) => text.toWellFormed())
    return {
      ...answer,
      message: { role: 'assistant', content, ...(tool_calls === undefined ? {} : { tool_calls }) },
      engine: engine.name,
    }
  }
}

/** A job for a node with a heavy model that names none gets the largest there is. */
function pickFor(engines: Engines, name: string | undefined, role: string) {
  if (name !== undefined || role !== 'llm_heavy') return engines.need('generate', name)
  const models = engines.serving.flatMap(({ engine, models }) =>
    engine.kind === 'generate' ? models : [],
  )
  const largest = [...models].sort((a, b) => (b.size_bytes ?? 0) - (a.size_bytes ?? 0))[0]
  return engines.need('generate', largest?.name)
}

/**
 * PostgreSQL's texts cannot hold a NUL, nor half a surrogate pair, of which the other half may come
 * with the next piece: that is for `whole` to see.
 */
function withoutNul<T extends { content?: string; tool_calls?: ToolCall[] }>(
  piece: T,
  whole = (text: string) => text,
): T {
  const clean = (text: string) => whole(text.replaceAll('\0', ''))
  return {
    ...piece,
    ...(piece.content === undefined ? {} : { content: clean(piece.content) }),
    ...(piece.tool_calls === undefined
      ? {}
      : {
          tool_calls: piece.tool_calls.map((call) => ({
            ...call,
            function: {
              name: clean(call.function.name),
              arguments: clean(call.function.arguments),
            },
          })),
        }),
  }
}
