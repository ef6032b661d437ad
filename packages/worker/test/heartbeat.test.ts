import { acquireLeadership, sweep } from '@earshot/db/functions/leadership'
import { registerNode } from '@earshot/db/functions/nodes'
import { silentLog } from '@earshot/shared/log'
import { monotonicMs } from '@earshot/db/monotonic'
import { describe, expect, test } from 'vitest'
import { databases, testDatabase } from '../../../test/helpers/database.ts'
import { type Beat, startHeartbeat } from '../src/heartbeat.ts'

const node = {
  id: 'n1',
  name: 'n1',
  host: null,
  port: null,
  version: '0',
  protocol: 1,
  roles: ['tts'],
  tags: {},
  capabilities: {},
  slots: { tts: 1 },
}

describe.each(databases)('the heartbeat, on %s', (kind) => {
  test('tells when a newer incarnation took over, and carries what winds down and what was measured', async () => {
    await using held = await testDatabase(kind)
    const incarnation = await registerNode(held.db.pool, node)
    const beats: Beat[] = []
    const heart = startHeartbeat({
      db: held.db,
      settings: { url: held.url, home: held.home },
      node: 'n1',
      incarnation,
      token: null,
      busy: () => ({ tts: 1 }),
      measured: () => ({ speeds: { speak: 2 }, warm: ['speak'], shares: [] }),
      onBeat: (beat) => beats.push(beat),
      onFailure: (err) => {
        throw err
      },
      log: silentLog(),
    })
    heart.kick()
    await expect.poll(() => beats.at(-1)?.held, { timeout: 10_000 }).toEqual([])
    expect((await held.db.pool.query('select busy, speeds, warm from earshot.nodes')).rows).toEqual(
      [{ busy: { tts: 1 }, speeds: { speak: 2 }, warm: ['speak'] }],
    )
    await registerNode(held.db.pool, node)
    heart.kick()
    await expect.poll(() => beats.at(-1)?.held, { timeout: 10_000 }).toBeNull()
    await heart.stop()
  })
})

describe.runIf(databases.includes('postgres'))('the heartbeat on a server', () => {
  test('keeps the lease while the main loop is busy for longer than the lease', async () => {
    await using held = await testDatabase('postgres')
    await held.db.pool.query(
      `update earshot.settings set lease = '3 seconds', leadership = '1 hour'`,
    )
    const incarnation = await registerNode(held.db.pool, node)
    let beats = 0
    const heart = startHeartbeat({
      db: held.db,
      settings: { url: held.url, home: held.home },
      node: 'n1',
      incarnation,
      token: null,
      busy: () => ({}),
      measured: () => ({ speeds: {}, warm: [], shares: [] }),
      onBeat: () => {
        beats += 1
      },
      onFailure: (err) => {
        throw err
      },
      log: silentLog(),
    })
    await expect.poll(() => beats, { timeout: 10_000 }).toBeGreaterThan(0)
    const until = monotonicMs() + 5000
    while (monotonicMs() < until); // nothing else runs in this thread
    const { rows } = await held.db.pool.query(
      `select lease_until > clock_timestamp() as held from earshot.nodes`,
    )
    expect(rows).toEqual([{ held: true }])
    const term = await acquireLeadership(held.db.pool, 'test', true)
    await sweep(held.db.pool, term!, true)
    expect((await held.db.pool.query('select status from earshot.nodes')).rows).toEqual([
      { status: 'online' },
    ])
    await heart.stop()
  })
})
