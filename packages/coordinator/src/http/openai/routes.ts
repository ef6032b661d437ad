import multipart from '@fastify/multipart'
import type { FastifyInstance } from 'fastify'
import type { Context } from '../context.ts'
import { chatRoutes } from './chat.ts'
import { createOpenAiApi } from './api.ts'
import { embeddingRoutes } from './embeddings.ts'
import { answerOpenAiErrors } from './errors.ts'
import { modelRoutes } from './model-routes.ts'
import { speechRoutes } from './speech.ts'
import { transcriptionRoutes } from './transcriptions.ts'

/**
 * The door for clients of OpenAI: the routes of docs/openai.md, whose errors have OpenAI's shape.
 */
export function openAiRoutes(app: FastifyInstance, context: Context): void {
  const openaiApi = createOpenAiApi(context)
  app.register(async (scope) => {
    answerOpenAiErrors(scope, context.log)
    for (const routes of [modelRoutes, chatRoutes, embeddingRoutes, speechRoutes])
      routes(scope, openaiApi, context)
    await scope.register(async (forms) => {
      await forms.register(multipart, { throwFileSizeLimit: false })
      transcriptionRoutes(forms, openaiApi, context)
    })
  })
}
