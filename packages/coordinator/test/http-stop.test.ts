import { once } from 'node:events'
import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { databases } from '../../../test/helpers/database.ts'
import { startMesh } from './mesh.ts'

test(
  'a connection over which nobody ever asked does not hold up the end',
  { timeout: 20_000 },
  async () => {
    await using mesh = await startMesh(databases.at(-1)!)
    const silent = connect(mesh.port, '127.0.0.1')
    await once(silent, 'connect')
    // An answer over another connection: the server has taken the silent one before.
    expect((await fetch(`${mesh.url}/healthz`)).status).toBe(200)
    const closed = once(silent, 'close')
    await mesh.http.stop()
    await closed
  },
)
