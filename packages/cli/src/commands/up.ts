import { createCoordinator } from '@earshot/coordinator'
import { createWorker } from '@earshot/worker'
import { findEngines } from '@earshot/worker/engines/find'
import { engineOptions } from '@earshot/worker/engines/index'
import type { Context } from '../context.ts'
import { noteAddress } from '../running-mesh.ts'
import { serve } from '../serve.ts'

/**
 * `earshot up`: coordinator and one worker in this process, on the embedded database or on
 * DATABASE_URL.
 */
export async function run(context: Context): Promise<number> {
  const { config, log, output } = context
  // Engines are tried out in processes of their own, meanwhile the database opens.
  const engines = findEngines(undefined, engineOptions(config))
  engines.catch(() => {}) // should the database not open, that is the error to tell
  return serve(context, {
    migrates: true,
    compose: async (db) => {
      const coordinator = createCoordinator({ db, config, log })
      const worker = createWorker({ db, config, log, engines: await engines })
      const announce = (): void => {
        const { url } = coordinator
        noteAddress(config.home, url)
        if (output.json)
          return output.printJson({
            url,
            inbox: config.inbox.path,
            home: config.home,
            node: config.node.id,
            database: db.embedded ? 'embedded' : 'postgres',
          })
        output.print(output.bold('Earshot is running.'))
        output.print(`  Drop recordings into  ${config.inbox.path}`)
        output.print(`  Address               ${url}`)
        output.print('  Find what was said    npx earshot search "two words"')
        output.print('  Stop                  Ctrl-C')
      }
      return { services: [coordinator, worker], announce }
    },
  })
}
