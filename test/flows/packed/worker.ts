import { existsSync, watch } from 'node:fs'
import path from 'node:path'
import { handle, runWorker } from '@earshot/worker'
import { awaitFile, echo } from './kinds.ts'

await runWorker({
  slots: 100,
  kinds: [
    handle(
      awaitFile,
      ({ folder, file }, { signal }) =>
        new Promise((resolve, reject) => {
          const look = () => {
            if (!existsSync(path.join(folder, file))) return
            watching.close()
            resolve({ found: new Date().toISOString() })
          }
          const watching = watch(folder, look)
          signal.addEventListener(
            'abort',
            () => {
              watching.close()
              reject(signal.reason as Error)
            },
            { once: true },
          )
          look()
        }),
    ),
    handle(echo, ({ say, fail }) => {
      if (fail) throw new Error('it was told to')
      return { said: say as string }
    }),
  ],
})
