import path from 'node:path'
import { expect, test } from 'vitest'
import { databases, testDatabase } from '../helpers/database.ts'
import { clientOf, eventOf, startProcess } from '../helpers/mesh.ts'

type Line = { msg: string; level: number } & Record<string, unknown>

test.runIf(databases.includes('postgres'))(
  'lines about a job say which, where, in which lane and at which attempt; no line holds a secret',
  async () => {
    await using held = await testDatabase('postgres')
    const key = 'sesame-open-0815'
    const mesh = await startProcess('up', {
      EARSHOT_HOME: held.home,
      EARSHOT_INBOX: path.join(held.home, 'inbox'),
      EARSHOT_PORT: '0',
      NODE_ID: 'study',
      DATABASE_URL: held.url!,
      EARSHOT_KEY: key,
      EARSHOT_LOG_LEVEL: 'trace',
    })
    const client = clientOf(mesh, key)
    const made = await client.wait(
      await client.enqueue('speak', { text: 'the kettle is on' }, { requires: { node: 'study' } }),
    )
    const { hash } = await client.artifact(made.result!.artifact_id)
    const { job_id, document_id } = await client.addDocument({
      media: hash,
      title: 'kettle.wav',
      kind: 'audio',
    })
    await eventOf(
      client,
      'the document is ready',
      (event) => event.type === 'document.ready' && event.document_id === document_id,
    )
    expect(await mesh.stop()).toBe(0)

    const lines = mesh
      .log()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Line)
    const about = (job: number) => lines.filter((line) => line.job === job)
    expect(about(made.id).map(({ msg }) => msg)).toEqual(['A job begins', 'A job ended'])
    for (const line of about(made.id))
      expect(line).toMatchObject({
        node: 'study',
        kind: 'speak',
        lane: 'tts node=study',
        attempt: 1,
        tenant: 'default',
      })
    for (const line of about(job_id))
      expect(line).toMatchObject({
        node: 'study',
        kind: 'transcribe',
        lane: 'stt_batch',
        attempt: 1,
        tenant: 'default',
      })
    expect(about(job_id).length).toBeGreaterThan(1)
    // Each field once: what a child logger carries, no line repeats.
    for (const text of mesh
      .log()
      .split('\n')
      .filter((line) => line.includes('"job":')))
      for (const field of ['node', 'job', 'attempt', 'lane'])
        expect(text.split(`"${field}":`).length, text).toBeLessThanOrEqual(2)
    const given = lines.filter(({ msg }) => msg === 'Jobs were given to nodes')
    expect(given.length).toBeGreaterThan(0)
    for (const line of given)
      expect(line.term).toBe(lines.find(({ msg }) => msg === 'Leading')!.term)

    const {
      rows: [row],
    } = await held.db.pool.query<{ secret: string }>('select secret from earshot.settings')
    for (const secret of [key, new URL(held.url!).password, row!.secret])
      expect(mesh.log()).not.toContain(secret)
    expect(mesh.log()).not.toMatch(/signature=(?!\*\*\*)/)
  },
)
