import { KindRegistration, type KindView } from '@earshot/contract'
import { registerKinds } from '@earshot/db/functions/kinds'
import type { FastifyInstance } from 'fastify'
import type { Context } from './context.ts'
import { parse } from './input.ts'
import { compile } from './json-schema.ts'
import { readKinds } from '../queries/kinds.ts'

/** Which kinds of job there are, and kinds of the users' own. */
export function kindRoutes(app: FastifyInstance, { db }: Context): void {
  app.get('/v1/kinds', async () => ({ kinds: await readKinds(db.pool) }))

  app.post('/v1/kinds', async (request, reply): Promise<KindView> => {
    const registration = parse(KindRegistration, request.body)
    for (const field of ['payload_schema', 'result_schema'] as const) {
      if (registration[field] !== undefined) compile(request, registration[field], field)
    }
    await registerKinds(db.pool, [registration])
    const [view] = await readKinds(db.pool, [registration.kind])
    reply.code(201)
    return view!
  })
}
