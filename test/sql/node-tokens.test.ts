import { PROTOCOL } from '@earshot/contract'
import { mediaPath } from '@earshot/shared/media/sign'
import { locateMedia } from '@earshot/db/functions/documents'
import { finishJobs, handBackJobs, startJobs, takeAssignments } from '@earshot/db/functions/jobs'
import { acquireLeadership } from '@earshot/db/functions/leadership'
import {
  deregisterNode,
  drainNode,
  heartbeat,
  registerNode,
  setWakeTransport,
  updateOffer,
} from '@earshot/db/functions/nodes'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { databases, type TestDatabase, testDatabase } from '../helpers/database.ts'
import { assignNext, speak } from './fixture.ts'

const OFFER = { roles: ['tts'], tags: {}, capabilities: {}, slots: { tts: 2 } }
const NODE = { name: 'n', host: null, port: null, version: '0', protocol: PROTOCOL, ...OFFER }
const HASH = 'a'.repeat(64)

describe.each(databases)('the token of a registration, on %s', (kind) => {
  let held: TestDatabase
  let incarnation: number
  let fence: { id: number; fence: string }
  beforeAll(async () => {
    held = await testDatabase(kind)
    incarnation = await registerNode(pool(), { id: 'n1', ...NODE }, 'right')
    await speak(held.db)
    const term = await acquireLeadership(pool(), 'test', true)
    await assignNext(held.db, term!, 'n1', incarnation, 1)
    const [job] = await takeAssignments(pool(), 'n1', incarnation, [], 'right')
    fence = { id: job!.id, fence: job!.fence }
  })
  afterAll(() => held[Symbol.asyncDispose]())
  const pool = () => held.db.pool
  const outcome = { output: {} }

  test.each([['wrong'], [null]])(
    '%s: a caller that is not the node gets and changes nothing',
    async (token) => {
      const as = ['n1', incarnation] as const
      const before = await rows()
      expect(await takeAssignments(pool(), ...as, [], token)).toEqual([])
      expect((await heartbeat(pool(), ...as, {}, {}, token)).held).toBeNull()
      expect(await startJobs(pool(), ...as, [fence], token)).toEqual([])
      expect(await finishJobs(pool(), ...as, [{ ...fence, outcome }], token)).toEqual([
        { id: fence.id, answer: 'lost' },
      ])
      expect(await handBackJobs(pool(), ...as, [fence], { sentence: 'Mine.' }, token)).toBe(0)
      expect(await updateOffer(pool(), incarnation, { id: 'n1', ...OFFER, roles: [] }, token)).toBe(
        false,
      )
      expect(await setWakeTransport(pool(), ...as, 'redis', token)).toBe(false)
      await drainNode(pool(), ...as, token)
      expect(await deregisterNode(pool(), ...as, token)).toBe(0)
      await expect(locateMedia(pool(), HASH, { id: 'n1', incarnation, token })).rejects.toThrow(
        'not registered',
      )
      expect(await rows()).toEqual(before)
    },
  )

  test('a node of the version before is written down, gets nothing and is told why', async () => {
    await pool().query(`select earshot.touch_coordinator('c', 'http://127.0.0.1', '1', $1)`, [
      PROTOCOL,
    ])
    const old = await registerNode(pool(), { id: 'old', ...NODE, protocol: PROTOCOL - 1 })
    expect((await heartbeat(pool(), 'old', old, {})).held).toEqual([])
    expect(await takeAssignments(pool(), 'old', old, [])).toEqual([])
    const {
      rows: [row],
    } = await pool().query(`select reason from earshot.nodes where id = 'old'`)
    expect(row.reason).toContain('give it the same version of Earshot')
  })

  test.each([['short'], ['k'.repeat(64)], ['k'.repeat(65)], ['ключ'.repeat(20)]])(
    'the database signs with the secret %s as a coordinator checks it, and keeps the secret',
    async (secret) => {
      await pool().query('update earshot.settings set secret = $1', [secret])
      await pool().query(
        `insert into earshot.media (hash, size, holder, path) values ($1, 1, 'c', '/a') on conflict do nothing`,
        [HASH],
      )
      const [place] = await locateMedia(pool(), HASH, { id: 'n1', incarnation, token: 'right' })
      expect(mediaPath(secret, HASH, 0, place!.expires * 1000)).toContain(place!.signature)
      expect(JSON.stringify(place)).not.toContain(secret)
    },
  )

  test('the node itself works on', async () => {
    expect(await startJobs(pool(), 'n1', incarnation, [fence], 'right')).toEqual([fence.id])
    expect(await handBackJobs(pool(), 'n1', incarnation, [fence], { sentence: 'x' }, 'right')).toBe(
      1,
    )
    expect(await deregisterNode(pool(), 'n1', incarnation, 'right')).toBe(0)
  })

  async function rows(): Promise<unknown> {
    return (
      await pool().query(
        `select n.status, n.stopping, n.roles, n.wake_transport, j.status as job, j.fence::text
         from earshot.nodes n join earshot.jobs j on j.assigned_node = n.id where n.id = 'n1'`,
      )
    ).rows
  }
})
