import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { type TestDatabase, databases, testDatabase } from '../helpers/database.ts'
import { type MeshProcess, clientOf, earshot, eventOf, startProcess } from '../helpers/mesh.ts'
import { awaitFile, echo } from './packed/kinds.ts'

const ROOT = path.resolve(import.meta.dirname, '../..')
const run = promisify(execFile)

describe.runIf(databases.includes('postgres'))(
  'the packed SDK and worker, installed in a folder of their own',
  () => {
    let project: string
    let database: TestDatabase
    let mesh: MeshProcess
    const workers: ChildProcess[] = []

    beforeAll(async () => {
      project = await mkdtemp(path.join(inject('databases').folder, 'a project '))
      const [, started] = await Promise.all([install(project), testDatabase('postgres')])
      database = started
      mesh = await startProcess('coordinator', {
        EARSHOT_HOME: path.join(database.home, 'home'),
        EARSHOT_INBOX: path.join(database.home, 'inbox'),
        EARSHOT_PORT: '0',
        DATABASE_URL: database.url!,
        NODE_ID: 'desk',
      })
    })
    afterAll(async () => {
      for (const worker of workers) await end(worker, 'SIGKILL')
      await mesh?.stop()
      await database?.[Symbol.asyncDispose]()
    })

    const client = () => clientOf(mesh)
    const environment = (more: Record<string, string>) => ({
      PATH: process.env.PATH,
      EARSHOT_URL: mesh.announced.url!,
      ...more,
    })
    /** Starts one of the project's workers and waits until it has joined. */
    const start = async (file: string, id: string): Promise<ChildProcess> => {
      const before = (await client().nodes()).find((node) => node.id === id)?.incarnation ?? 0
      const env = environment({
        DATABASE_URL: database.url!,
        EARSHOT_LOG_LEVEL: 'warn',
        NODE_ID: id,
        EARSHOT_HOME: path.join(project, id),
      })
      const worker = spawn(process.execPath, [path.join(project, file)], {
        cwd: project,
        env,
        stdio: ['ignore', 'inherit', 'inherit'],
      })
      workers.push(worker)
      await eventOf(
        client(),
        `${id} joined`,
        (event) =>
          event.type === 'node.online' &&
          event.node === id &&
          Number(event.data?.incarnation) > before,
      )
      return worker
    }
    const program = (file: string, ...args: string[]) =>
      run(process.execPath, [path.join(project, file), ...args], {
        cwd: project,
        env: environment({}),
      })

    test('the SDK brings zod alone', async () => {
      const dependenciesOf = async (name: string): Promise<string[]> => {
        const manifest = path.join(project, 'node_modules', name, 'package.json')
        const { dependencies = {} } = JSON.parse(await readFile(manifest, 'utf8')) as {
          dependencies?: Record<string, string>
        }
        return Object.keys(dependencies)
      }
      expect(await dependenciesOf('@earshot/sdk')).toEqual(['@earshot/contract'])
      expect(await dependenciesOf('@earshot/contract')).toEqual(['zod'])
    })

    test('the types are there for the compiler too', async () => {
      await writeFile(
        path.join(project, 'tsconfig.json'),
        JSON.stringify({
          compilerOptions: {
            module: 'nodenext',
            target: 'es2024',
            strict: true,
            noEmit: true,
            skipLibCheck: true,
            allowImportingTsExtensions: true,
            types: ['node'],
          },
          include: ['*.ts', 'packed/*.ts'],
        }),
      )
      const wrong = `import { createClient } from '@earshot/sdk'\nimport { wordCount } from './kind.ts'\nvoid createClient().enqueue(wordCount, { txt: 'x' })\n`
      await writeFile(path.join(project, 'wrong.ts'), wrong)
      const tsc = run(process.execPath, [
        path.join(ROOT, 'node_modules/typescript/bin/tsc'),
        '-p',
        project,
      ])
      await expect(tsc).rejects.toMatchObject({
        stdout: expect.stringMatching(
          /^[^\n]*wrong\.ts\(3,\d+\): error TS2561: [^\n]*'txt'[^\n]*\n$/,
        ),
      })
    })

    test('a kind that nobody knows is refused by its name, with those that there are', async () => {
      const known = expect.stringMatching(/embed, generate, read, speak, transcribe, vectors/)
      await writeFile(
        path.join(project, 'unknown.mjs'),
        `import { createClient } from '@earshot/sdk'
import { echo } from './packed/kinds.ts'
await createClient({ url: process.env.EARSHOT_URL }).enqueue(echo, { say: 'x' }).catch((error) => console.log(JSON.stringify(error)))`,
      )
      const sdk = (JSON.parse((await program('unknown.mjs')).stdout) as { error: unknown }).error
      const cli = (
        JSON.parse(
          (
            await earshot(
              ['enqueue', 'test.echo', '{"say":"x"}', '--json'],
              { EARSHOT_URL: mesh.announced.url! },
              { cwd: project },
            )
          ).stdout,
        ) as { error: unknown }
      ).error
      for (const error of [sdk, cli])
        expect(error).toMatchObject({
          code: 'EARSHOT_UNKNOWN_KIND',
          message: 'There is no kind of job "test.echo".',
          field: 'kind',
          hint: known,
        })
      await expect(
        database.db.pool.query(`select earshot.submit_job('test.echo')`),
      ).rejects.toThrow(
        /no kind is called "test\.echo"; there are: embed, generate, read, speak, transcribe, vectors\./,
      )
    })

    test('the example runs: its job waits for the first worker, which comes', async () => {
      await writeFile(path.join(project, 'words.txt'), 'The kettle is on. The tea is not.')
      const counted = program('enqueue.ts', 'words.txt')
      await eventOf(
        client(),
        'the job waits',
        (event) => event.type === 'job.queued' && event.data?.kind === 'word-count',
      )
      await start('worker.ts', 'counter')
      expect((await counted).stdout).toBe(
        'words.txt: 8 words, 6 different ones; most of all is 2, the 2, kettle 1\n',
      )
      const { stdout } = await earshot(
        ['kinds', '--json'],
        { EARSHOT_URL: mesh.announced.url! },
        { cwd: project },
      )
      expect((JSON.parse(stdout) as { kinds: unknown[] }).kinds).toContainEqual(
        expect.objectContaining({ kind: 'word-count', role: 'text_tools', built_in: false }),
      )
    })

    test('what does not fit is refused where it first can be: by SDK, HTTP, worker, and for results too', async () => {
      await start('packed/worker.ts', 'box')
      const wrong = { folder: 7 } as unknown as { folder: string }
      await expect(client().enqueue(awaitFile, wrong)).rejects.toMatchObject({
        code: 'EARSHOT_BAD_REQUEST',
        field: 'payload.folder',
      })
      const post = async (payload: unknown) => {
        const answer = await fetch(`${mesh.announced.url}/v1/jobs`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ kind: 'test.await-file', payload }),
        })
        return ((await answer.json()) as { error: { code: string; field: string } }).error
      }
      expect(await post({})).toMatchObject({ code: 'EARSHOT_BAD_REQUEST', field: 'payload.folder' })
      expect(await post({ folder: 7 })).toMatchObject({
        code: 'EARSHOT_BAD_REQUEST',
        field: 'payload.folder',
      })
      expect(await post({ folder: 'x', fiel: 'y' })).toMatchObject({
        code: 'EARSHOT_BAD_REQUEST',
        field: 'payload.fiel',
      })
      const {
        rows: [job],
      } = await database.db.pool.query(
        `select earshot.submit_job('test.await-file', '{"folder": 7}') as id`,
      )
      expect(await client().wait(job.id)).toMatchObject({
        status: 'failed',
        attempt: 1,
        error: {
          code: 'EARSHOT_BAD_REQUEST',
          message: expect.stringContaining('"payload.folder" is wrong'),
        },
      })
      const ended = async (payload: { say: unknown; fail?: boolean }) =>
        client().wait(await client().enqueue(echo, payload))
      expect(await ended({ say: 'hello' })).toMatchObject({
        status: 'completed',
        result: { said: 'hello' },
      })
      expect(await ended({ say: 3 })).toMatchObject({
        status: 'failed',
        error: {
          code: 'EARSHOT_RESULT_REFUSED',
          message: expect.stringContaining('"result.said" is wrong'),
        },
      })
      expect(await ended({ say: 'x', fail: true })).toMatchObject({
        status: 'failed',
        error: {
          code: 'EARSHOT_HANDLER_FAILED',
          message: 'The handler of kind "test.echo" failed: it was told to',
        },
      })
    })

    test('a worker that is killed in the middle and started again has done everything once', async () => {
      const folder = path.join(project, 'gate')
      await mkdir(folder)
      const jobs = await Promise.all(
        Array.from({ length: 20 }, () => client().enqueue(awaitFile, { folder })),
      )
      await eventOf(
        client(),
        'a job started',
        (event) => event.type === 'job.started' && event.job_id === jobs[0]!.id,
      )
      await end(workers.at(-1)!, 'SIGKILL')
      await start('packed/worker.ts', 'box')
      await writeFile(path.join(folder, 'open'), '')
      const done = await Promise.all(jobs.map((job) => client().wait(job)))
      for (const job of done)
        expect(job).toMatchObject({
          status: 'completed',
          tries: 0,
          result: { found: expect.any(Date) },
        })
      const { rows } = await database.db.pool.query(
        `select job_id, count(*)::int as ends from earshot.events where type = 'job.completed' and job_id = any ($1) group by 1`,
        [jobs.map((job) => job.id)],
      )
      expect(rows.map((row) => row.ends)).toEqual(jobs.map(() => 1))
    })

    test('a signal lets work in hand finish, and the program ends in order', async () => {
      const folder = path.join(project, 'second gate')
      await mkdir(folder)
      const job = await client().enqueue(awaitFile, { folder })
      await eventOf(
        client(),
        'the job started',
        (event) => event.type === 'job.started' && event.job_id === job.id,
      )
      const worker = workers.at(-1)!
      worker.kill('SIGTERM')
      await expect
        .poll(async () => (await client().nodes()).find((node) => node.id === 'box')?.reason, {
          timeout: 10_000,
        })
        .toContain('stopping')
      await writeFile(path.join(folder, 'open'), '')
      expect((await client().wait(job)).status).toBe('completed')
      expect(await end(worker)).toBe(0)
    })
  },
)

/** Builds and packs, and installs the tarballs beside the example and the test's own programs. */
async function install(project: string): Promise<void> {
  const script = (file: string) => pathToFileURL(path.join(ROOT, 'launcher', file)).href
  const [{ stdout: built }, { stdout: pnpm }, node] = await Promise.all([
    run(process.execPath, [path.join(ROOT, 'launcher', 'build.mjs')]),
    run(process.execPath, [
      '--input-type=module',
      '-e',
      `console.log((await import(${JSON.stringify(script('tool.mjs'))})).findTool('pnpm') ?? 'pnpm')`,
    ]),
    readFile(path.join(ROOT, 'node_modules/@types/node/package.json'), 'utf8'),
    cp(path.join(ROOT, 'examples/custom-kind'), project, { recursive: true }),
    cp(path.join(ROOT, 'test/flows/packed'), path.join(project, 'packed'), { recursive: true }),
  ])
  const packages = Object.fromEntries(
    built
      .trim()
      .split('\n')
      .map((file) => [
        `@earshot/${/earshot-([a-z]+)-/.exec(path.basename(file))![1]}`,
        `file:${file}`,
      ]),
  )
  const types = { '@types/node': (JSON.parse(node) as { version: string }).version }
  await writeFile(
    path.join(project, 'package.json'),
    JSON.stringify({
      name: 'project',
      private: true,
      type: 'module',
      dependencies: packages,
      devDependencies: types,
    }),
  )
  // npm takes a package that one of its neighbours needs from beside it; pnpm wants to be told, as
  // docs/custom-kinds.md says.
  await writeFile(
    path.join(project, 'pnpm-workspace.yaml'),
    JSON.stringify({
      packages: ['.'],
      overrides: packages,
      allowBuilds: { 'msgpackr-extract': false },
    }),
  )
  await run(pnpm.trim(), ['install', '--prefer-offline', '--no-frozen-lockfile'], {
    cwd: project,
    env: { ...process.env, CI: 'true' },
  })
}

/** Resolves with the exit code, null after a signal's end. */
async function end(child: ChildProcess, signal?: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
  const ended = once(child, 'exit')
  if (signal !== undefined) child.kill(signal)
  await ended
  return child.exitCode
}
