import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Hit, JobView, NodeView, WhyView } from '@earshot/contract'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { startProcess, type MeshProcess } from '../../../test/helpers/mesh.ts'
import { earshot, emptyFolder, type Ran } from './helpers/run.ts'

const cwd = emptyFolder()
const home = path.join(cwd, 'home')
let mesh: MeshProcess

beforeAll(async () => {
  mesh = await startProcess('up', {
    EARSHOT_HOME: home,
    EARSHOT_INBOX: path.join(cwd, 'inbox'),
    EARSHOT_PORT: '0',
    NODE_ID: 'box',
  })
}, 120_000)
afterAll(async () => expect(await mesh.stop()).toBe(0))

const run = (...args: string[]): Promise<Ran> =>
  earshot(args, { cwd, env: { EARSHOT_URL: mesh.announced.url ?? '', EARSHOT_HOME: home } })
async function json<T>(...args: string[]): Promise<T> {
  const { stdout, stderr } = await run(...args, '--json')
  expect(stderr).toBe('')
  return JSON.parse(stdout) as T
}

type Added = {
  documents: {
    file: string
    document: number
    job: number
    duplicate: boolean
    status?: string
    text?: string
    error?: { code: string }
  }[]
}

describe('a running mesh', () => {
  test('announces itself, and db init leaves its database alone', async () => {
    expect(mesh.announced).toMatchObject({
      inbox: path.join(cwd, 'inbox'),
      home,
      node: 'box',
      database: 'embedded',
    })
    expect(await json('db', 'init')).toMatchObject({ error: { code: 'EARSHOT_DATABASE_IN_USE' } })
    expect(await json('db', 'check')).toMatchObject({
      ok: true,
      database: 'embedded',
      mesh: expect.stringContaining('http'),
    })
  })

  test('is found by commands of its folder, whatever its port', async () => {
    const found = await earshot(['nodes', '--json'], { cwd, env: { EARSHOT_HOME: home } })
    expect(JSON.parse(found.stdout)).toMatchObject({ nodes: [{ id: 'box' }] })
    // An address that is given wins.
    const other = await earshot(['nodes'], { cwd, env: { EARSHOT_HOME: home, EARSHOT_PORT: '1' } })
    expect(other.code).toBe(3)
  })

  test('is not started twice on one home', async () => {
    const { code, stderr } = await earshot(['up'], {
      cwd,
      env: { EARSHOT_HOME: home, EARSHOT_PORT: '0' },
    })
    expect(code).toBe(1)
    expect(stderr).toMatch(/^earshot: Process \d+ has the embedded database open/)
  })

  test('speaks into a file, and leaves nothing half written where it cannot', async () => {
    const said = await json<{ file: string; duration_s: number; engine: string }>(
      'say',
      'the',
      'green',
      'lighthouse',
      '-o',
      'a.wav',
    )
    expect(said).toMatchObject({ file: path.join(cwd, 'a.wav'), engine: 'flite' })
    expect(said.duration_s).toBeGreaterThan(0.5)
    const refused = await run('say', 'hello', '-o', 'b.wav', '--voice', 'nobody')
    expect(refused.code).toBe(1)
    expect(refused.stderr).toMatch(
      /^earshot: There is no voice "nobody"\. Voices on this node: .*slt.*\n {2}What happened to it: earshot job \d+\n$/,
    )
    expect((await run('say', 'hello', '-o', 'no/where.wav')).stderr).toContain('The folder')
    expect((await run('say', 'hello', '-o', 'inbox')).stderr).toContain(
      'inbox is a folder.\n  Name a file in it.',
    )
    expect((await run('say', 'hello', '-o', 'b.xyz')).stderr).toContain(
      'its ending is none of .wav, .mp3',
    )
    expect(readdirSync(cwd).sort()).toEqual(['a.wav', 'home', 'inbox'])
    expect((await run('say', 'hello', '-o', 'a.mp3')).code).toBe(0)
    // An ID3 tag, or the first frame.
    expect(readFileSync(path.join(cwd, 'a.mp3')).toString('latin1', 0, 3)).toMatch(/^(ID3|\xff)/)
  })

  test('takes jobs of any kind that it knows, and names those that there are', async () => {
    expect((await run('kinds')).stdout).toMatch(
      /^KIND +ROLE +CLASS +PRIORITY +PAYLOAD\n(.+\n)*speak +tts +interactive +20 +built-in +text \[voice\] \[model\] \[speed\] \[format\]\n/,
    )
    const { code, stdout } = await run('enqueue', 'speak', '{"text": "the kettle is on"}', '--wait')
    expect({ code, result: JSON.parse(stdout) as unknown }).toEqual({
      code: 0,
      result: {
        artifact_id: expect.any(Number),
        duration_s: expect.any(Number),
        engine: 'flite',
        model: 'flite',
        mime: 'audio/wav',
      },
    })
    expect((await run('enqueue', 'dance')).stderr).toMatch(
      /^earshot: There is no kind of job "dance"\.\n {2}The kinds are: embed, generate, read, speak, transcribe, vectors\./,
    )
    expect((await run('enqueue', 'speak', 'hello')).stderr).toMatch(
      /^earshot: The payload is no JSON: /,
    )
    expect((await run('enqueue', 'speak', '{"txt": 1}')).stderr).toMatch(
      /^earshot: "payload\.text" is wrong: /,
    )
  })

  test('takes in files, the bad one not in the way of the good ones, and finds what they say', async () => {
    writeFileSync(
      path.join(cwd, 'it\'s "$(odd)" 🎧.txt'),
      'The keeper counts ships.\n\nNobody else does.',
    )
    writeFileSync(path.join(cwd, 'text.mp3'), 'this is no sound')
    const { code, stdout } = await run(
      'add',
      'a.wav',
      'text.mp3',
      'it\'s "$(odd)" 🎧.txt',
      '--wait',
      '--language',
      'en',
      '--json',
    )
    expect(code).toBe(1)
    const [speech, bad, writing] = (JSON.parse(stdout) as Added).documents
    expect(speech).toMatchObject({
      file: 'a.wav',
      status: 'ready',
      duplicate: false,
      text: expect.stringMatching(/lighthouse|light/),
    })
    expect(bad).toEqual({
      file: 'text.mp3',
      error: {
        code: 'EARSHOT_MEDIA_UNREADABLE',
        message: expect.any(String),
        hint: expect.stringMatching(/earshot job \d+/),
      },
    })
    expect(writing).toMatchObject({
      status: 'ready',
      text: expect.stringContaining('The keeper counts ships.'),
    })

    expect(await json('job', String(speech?.job))).toMatchObject({ payload: { language: 'en' } })
    expect((await run('add', 'a.wav', '--language', 'German')).stderr).toContain(
      'expected a language such as en',
    )

    const { hits } = await json<{ hits: Hit[] }>('search', 'keeper', 'ships')
    expect(hits).toEqual([
      {
        document: writing?.document,
        title: 'it\'s "$(odd)" 🎧.txt',
        start_s: null,
        end_s: null,
        text: expect.stringContaining('keeper'),
        score: expect.any(Number),
        node: 'box',
      },
    ])
    expect((await run('search', 'keeper')).stdout).toMatch(
      /^FILE +AT +TEXT\nit's "\$\(odd\)" 🎧\.txt +The keeper counts ships/,
    )
    expect(await json('search', 'zymurgy')).toEqual({ hits: [] })
    expect((await run('search', 'zymurgy')).code).toBe(0)
  })

  test('prints transcripts by number and by title, in every format', async () => {
    const {
      documents: [speech],
    } = await json<Added>('add', 'a.wav')
    expect(speech).toMatchObject({ duplicate: true })
    const id = String(speech?.document)
    expect((await run('transcript', id)).stdout).toBe((await run('transcript', 'a.wav')).stdout)
    expect((await run('transcript', id, '--format', 'srt')).stdout).toMatch(
      /^1\n00:00:\d\d,\d{3} --> 00:00:\d\d,\d{3}\n/,
    )
    expect((await run('transcript', id, '--format', 'vtt')).stdout).toMatch(/^WEBVTT\n/)
    expect(await json('transcript', id)).toMatchObject({
      document: speech?.document,
      segments: [{ start_s: expect.any(Number) }],
    })
    expect((await run('transcript', 'nowhere.wav')).code).toBe(1)
  })

  test('shows jobs, the sentence of an error, and the history', async () => {
    const { jobs } = await json<{ jobs: JobView[] }>('jobs', '--status', 'failed')
    expect(jobs.map(({ status }) => status)).toEqual(['failed', 'failed'])
    const failed = jobs.find(({ kind }) => kind === 'transcribe')
    expect((await run('jobs', '--status', 'failed')).stdout).toMatch(
      /transcribe +failed .* text\.mp3: The file is not audio or video that can be read\.\n/,
    )
    const shown = await run('job', String(failed?.id))
    expect(shown.code).toBe(0)
    expect(shown.stdout).toContain(failed?.error?.message)
    expect(shown.stdout).toContain('EARSHOT_MEDIA_UNREADABLE')
    expect(shown.stdout).toMatch(/job\.queued[^]*job\.failed +on box/)
    expect(
      (await json<JobView>('job', String(failed?.id))).history?.map(({ type }) => type),
    ).toEqual(expect.arrayContaining(['job.queued', 'job.failed']))
    expect(await run('job', '999999')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('There is no job 999999.'),
    })
    expect(await run('job', 'x')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('"x" is not the number of a job.'),
    })
  })

  test('cancels what is open and says what was not', async () => {
    const {
      jobs: [done],
    } = await json<{ jobs: JobView[] }>('jobs', '--limit', '1')
    const { code, stdout } = await run('cancel', String(done?.id), '--json')
    expect({ code, cancelled: JSON.parse(stdout) as unknown }).toEqual({
      code: 1,
      cancelled: { cancelled: [] },
    })
  })

  test('shows what is kept no longer, and deletes it only when told to', async () => {
    const { stdout, stderr } = await run('prune')
    expect(stdout).toContain('media that nothing refers to')
    expect(stdout).toContain('for good')
    expect(stderr).toContain('earshot prune --yes')
    expect(await json('prune')).toMatchObject({ dry_run: true })
    expect(await json('prune', '--yes')).toMatchObject({
      dry_run: false,
      things: expect.arrayContaining([expect.objectContaining({ what: 'speech', items: 0 })]),
    })
    expect((await run('prune', '--yes', '--dry-run')).code).toBe(2)
  })

  test('lists its nodes, the same by way of db', async () => {
    const { nodes } = await json<{ nodes: NodeView[] }>('nodes')
    expect(nodes).toMatchObject([
      {
        id: 'box',
        status: 'online',
        roles: expect.arrayContaining(['stt_batch', 'tts', 'rag_engine']),
      },
    ])
    expect((await json<{ nodes: NodeView[] }>('db', 'nodes')).nodes.map(({ id }) => id)).toEqual([
      'box',
    ])
    expect((await run('nodes')).stdout).toMatch(/^NODE +STATUS[^]*\nbox +online/)
  })

  test('tells why a job waits, holds its node back and lets it go', async () => {
    expect((await run('node', 'drain', 'box')).stdout).toMatch(
      /^Node box is drained\. It has nothing in hand; /,
    )
    expect((await run('nodes')).stdout).toMatch(/\nbox +drained .* It is drained\.\n/)
    const saying = run('say', 'later', '-o', 'later.wav')
    const { id } = await vi.waitFor(
      async () => {
        const {
          jobs: [job],
        } = await json<{ jobs: JobView[] }>('jobs', '--status', 'pending')
        return job ?? Promise.reject(new Error('no job waits yet'))
      },
      { timeout: 30_000, interval: 200 },
    )
    expect((await run('why', String(id))).stdout).toMatch(
      /^Job \d+: speak, pending\. .*\(drained\)\.\n\nNODE +CAN IT +WHY NOT\nbox +later +drained\n$/,
    )
    expect(await json<WhyView>('why', String(id))).toMatchObject({
      position: 1,
      nodes: [{ node: 'box', chance: 'later', reasons: ['drained'] }],
    })
    expect(await json<NodeView>('node', 'quarantine', 'box', '--reason', 'Smoke.')).toMatchObject({
      quarantines: [{ role: '*', reason: 'Smoke.' }],
    })
    expect((await run('nodes')).stdout).toMatch(/\nbox +quarantined /)
    expect((await run('node', 'resume', 'box')).stdout).toBe('Node box gets work again.\n')
    expect((await saying).code).toBe(0)
    expect((await run('why', String(id))).stdout).toMatch(
      /completed\. It was completed .* ago on box, after .* s\.\n$/,
    )
    expect(await run('node', 'drain', 'nowhere')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('There is no node "nowhere".'),
    })
  }, 60_000)

  test('tries jobs again, those that are named or fit, and shows first which', async () => {
    expect(await run('jobs', 'retry')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('Say which jobs'),
    })
    expect(await json('jobs', 'retry', '--status', 'failed', '--older', '2h')).toEqual({
      retried: [],
    })
    const { jobs } = await json<{ jobs: JobView[] }>('jobs', '--status', 'failed')
    const ids = jobs.map(({ id }) => id).sort((a, b) => a - b)
    expect(await json('jobs', 'retry', '--status', 'failed', '--dry-run')).toEqual({
      retried: ids,
      dry_run: true,
    })
    const shown = await run('jobs', 'retry', '--status', 'failed', '--kind', 'speak', '--dry-run')
    expect(shown.stdout).toMatch(/^1 job would be tried again:\nJOB +KIND[^]*\n\d+ +speak +failed/)
    expect((await run('jobs', 'retry', String(ids[0]))).stdout).toBe('1 job is tried again.\n')
    expect(await run('jobs', 'cancel', String(ids[1]))).toMatchObject({
      code: 1,
      stderr: `Left as they are: ${ids[1]}.\n`,
    })
  })

  test('is fine, says doctor', async () => {
    expect(await json('doctor')).toMatchObject({
      ok: true,
      checks: expect.arrayContaining([expect.objectContaining({ name: 'mesh', status: 'ok' })]),
    })
  })
})
