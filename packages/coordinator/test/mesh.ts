import path from 'node:path'
import { createClient, type Client } from '../../sdk/src/index.ts'
import { silentLog } from '@earshot/shared/log'
import { createMediaStore, type MediaStore } from '@earshot/shared/media/store'
import {
  type DatabaseKind,
  type TestDatabase,
  testDatabase,
} from '../../../test/helpers/database.ts'
import type { HttpParts } from '../src/http/context.ts'
import { checkAnswer } from './check-answer.ts'
import { createHttp, type HttpService } from '../src/http/server.ts'

export type Mesh = AsyncDisposable & {
  test: TestDatabase
  http: HttpService
  media: MediaStore
  url: string
  port: number
  client: Client
}

type Options = Omit<Partial<HttpParts>, 'settings' | 'db'> & {
  settings?: Partial<HttpParts['settings']>
  test?: TestDatabase
}

/**
 * The HTTP service on a free port of this machine, over a real database; nothing routes and nothing
 * works on jobs.
 */
export async function startMesh(
  kind: DatabaseKind,
  { settings, test, ...parts }: Options = {},
): Promise<Mesh> {
  const database = test ?? (await testDatabase(kind))
  // No one leads here, so no one would look where no one rings.
  await database.db.pool.query('update earshot.settings set doorbell = false')
  const media = parts.media ?? (await createMediaStore(database.home))
  const uploads = parts.uploads ?? (await createMediaStore(path.join(database.home, 'uploads')))
  const http = createHttp({
    db: database.db,
    coordinatorId: 'here',
    log: silentLog(),
    version: '0.0.0-test',
    onAnswer: checkAnswer,
    ...parts,
    media,
    uploads,
    settings: { host: '127.0.0.1', port: 0, ...settings },
  })
  const { port } = await http.start()
  const url = `http://127.0.0.1:${port}`
  return {
    test: database,
    http,
    media,
    url,
    port,
    client: createClient({ url, key: settings?.key }),
    async [Symbol.asyncDispose]() {
      await http.stop()
      if (test === undefined) await database[Symbol.asyncDispose]()
    },
  }
}
