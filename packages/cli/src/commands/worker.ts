import { createWorker } from '@earshot/worker'
import { findEngines } from '@earshot/worker/engines/find'
import { engineOptions } from '@earshot/worker/engines/index'
import type { Context } from '../context.ts'
import { requireServer, serve } from '../serve.ts'

/**
 * `earshot worker`: joins the mesh with what this machine can do, and works until it is told to
 * stop.
 */
export async function run(context: Context): Promise<number> {
  requireServer(context, 'worker')
  const { config, log, output } = context
  // Engines are tried out in processes of their own, meanwhile the database opens.
  const engines = findEngines(undefined, engineOptions(config))
  engines.catch(() => {}) // should the database not open, that is the error to tell
  return serve(context, {
    migrates: false,
    compose: async (db) => {
      const worker = createWorker({ db, config, log, engines: await engines })
      const announce = (): void => {
        if (output.json)
          output.printJson({ node: config.node.id, home: config.home, database: 'postgres' })
        else
          output.print(
            `${output.bold(`Node ${config.node.id} has joined the mesh.`)} See it with: npx earshot nodes. Stop it with Ctrl-C.`,
          )
      }
      return { services: [worker], announce }
    },
  })
}
