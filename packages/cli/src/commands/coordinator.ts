import { createCoordinator } from '@earshot/coordinator'
import type { Context } from '../context.ts'
import { noteAddress } from '../running-mesh.ts'
import { requireServer, serve } from '../serve.ts'

/**
 * `earshot coordinator`: routes jobs, watches the inbox and serves HTTP, on the database that the
 * mesh shares.
 */
export async function run(context: Context): Promise<number> {
  requireServer(context, 'coordinator')
  const { config, log, output } = context
  return serve(context, {
    migrates: true,
    compose: (db) => {
      const coordinator = createCoordinator({ db, config, log })
      const announce = (): void => {
        const { url } = coordinator
        noteAddress(config.home, url)
        if (output.json)
          return output.printJson({
            url,
            inbox: config.inbox.path,
            home: config.home,
            node: config.node.id,
            database: 'postgres',
          })
        output.print(output.bold('The coordinator is running.'))
        output.print(`  Drop recordings into  ${config.inbox.path}`)
        output.print(`  Address               ${url}`)
        output.print(
          '  Add a box             npx earshot worker, there, with the same DATABASE_URL',
        )
        output.print('  Stop                  Ctrl-C')
      }
      return { services: [coordinator], announce }
    },
  })
}
