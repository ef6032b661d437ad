import { EarshotError } from '@earshot/contract'
import type { FastifyInstance } from 'fastify'
import { OPENAI_KINDS } from '../../models/aliases.ts'
import type { OpenAiApi } from './api.ts'
import type { Model } from '../../models/registry.ts'

/** GET /v1/models: what the mesh offers, by the names that requests may give. */
export function modelRoutes(scope: FastifyInstance, { models, aliases }: OpenAiApi): void {
  const offered = async (): Promise<Model[]> =>
    (await models.list()).filter(({ up }) => up.length > 0)

  scope.get('/v1/models', async () => ({ object: 'list', data: (await offered()).map(view) }))

  // Names hold slashes.
  scope.get<{ Params: { '*': string } }>('/v1/models/*', async ({ params }) => {
    const there = await offered()
    const name = aliases.model(params['*'])
    const model = there.find((one) => one.name === name || one.aliases.includes(name))
    if (model !== undefined) return view(model)
    const kind = OPENAI_KINDS.find((one) => aliases.builtIn(one, name))
    const able = there.filter(({ kinds }) => kind !== undefined && kinds.includes(kind))
    if (able.length > 0)
      return {
        id: params['*'],
        object: 'model',
        created: 0,
        owned_by: 'earshot',
        kinds: [kind],
        nodes: [...new Set(able.flatMap(({ up }) => up))],
      }
    throw new EarshotError(
      'EARSHOT_UNKNOWN_MODEL',
      `No node that is up offers model "${params['*']}".`,
      { field: 'model', hint: `There are: ${there.map((one) => one.name).join(', ')}.` },
    )
  })
}

/** `created` is not known of any model; clients want a number. */
function view({ name, engine, kinds, up, size, dimensions, context, languages }: Model) {
  return {
    id: name,
    object: 'model',
    created: 0,
    owned_by: engine,
    kinds,
    nodes: up,
    ...(size !== undefined && { size_bytes: size }),
    ...(dimensions !== undefined && { dimensions }),
    ...(context !== undefined && { context }),
    ...(kinds.includes('transcribe') && { languages }),
  }
}
