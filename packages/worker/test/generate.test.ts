import { expect, test } from 'vitest'
import type { TextGenerator } from '../src/engines/engine.ts'
import { createRegistry } from '../src/engines/registry.ts'
import type { JobContext } from '../src/job-context.ts'
import { createGenerate } from '../src/kinds/generate.ts'

test('an engine that lives keeps its job, also while it says nothing; what it says comes without what the database cannot hold', async () => {
  const engine: TextGenerator = {
    name: 'slow',
    kind: 'generate',
    probe: async () => ({ available: true }),
    models: async () => [],
    generate: async ({ model }, { onDelta, onAlive }) => {
      onAlive?.()
      onDelta({ content: 'a\0b' })
      return {
        model,
        message: { role: 'assistant', content: 'a\0b' },
        finish_reason: 'stop',
        usage: { prompt_tokens: 1, completion_tokens: 1 },
      }
    },
  }
  const known = {
    serving: [{ engine, models: [{ name: 'm', size_bytes: null }] }],
    notOffered: {},
    defaults: {},
  }
  const signs: string[] = []
  const context = {
    signal: new AbortController().signal,
    job: { role: 'llm_light' },
    progress: () => signs.push('alive'),
    emit: (delta: object) => signs.push(JSON.stringify(delta)),
  } as unknown as JobContext
  const answer = await createGenerate({ engines: createRegistry(() => known) })(
    { messages: [{ role: 'user', content: 'Hi' }] },
    context,
  )
  expect(signs).toEqual(['alive', 'alive', '{"content":"ab"}'])
  expect(answer).toMatchObject({ engine: 'slow', model: 'm', message: { content: 'ab' } })
})
