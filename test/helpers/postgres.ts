import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { migrate } from '@earshot/db/migrate'
import { type DatabaseSettings, openDatabase } from '@earshot/db/open'
import pg from 'pg'
import type { TestProject } from 'vitest/node'
import { type Cluster, type LocalServer, startCluster, stopStaleCluster } from './cluster.ts'
import { type ContainerServer, startContainer } from './container.ts'
import { embeddedTemplate } from './embedded-template.ts'
import {
  createRunFolder,
  endStaleProcesses,
  removeRunFolder,
  staleRunFolders,
} from './run-folder.ts'
import { TEMPLATE, type Template } from './template.ts'

type Server = LocalServer | ContainerServer | { kind: 'none'; reason: string }

const LAUNCHER = fileURLToPath(new URL('../../launcher/test-postgres.mjs', import.meta.url))

/**
 * Before the tests: a private server and both migrated templates; afterwards they go. A kind that
 * cannot be had fails the tests that ask for it, with the reason, and no others.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await findServer()
  for (const folder of await staleRunFolders()) {
    if (server.kind === 'local') await stopStaleCluster(server, folder)
    await endStaleProcesses(folder)
    await removeRunFolder(folder)
  }
  if (server.kind === 'container') process.env.EARSHOT_TEST_CONTAINERS = '1'
  const folder = await createRunFolder()
  let cluster: Cluster | undefined
  const [postgres, embedded] = await Promise.all([
    attempt(async () => {
      cluster = await startServer(server, folder)
      return serverTemplate(cluster.url, folder)
    }),
    attempt(async () => ({ at: await embeddedTemplate(folder, (home) => migrated({ home })) })),
  ])
  project.provide('databases', { postgres, embedded, folder })
  project.provide(
    'testsServer',
    server.kind !== 'none' || process.env.EARSHOT_TEST_ALLOW_EMBEDDED_ONLY !== '1',
  )
  return async () => {
    await cluster?.stop()
    await removeRunFolder(folder)
  }
}

/** The PostgreSQL that the launcher found for the tests. */
export async function findServer(): Promise<Server> {
  const { stdout } = await promisify(execFile)(process.execPath, [LAUNCHER])
  return JSON.parse(stdout) as Server
}

/** Starts it below a folder of this run. */
export async function startServer(server: Server, folder: string): Promise<Cluster> {
  if (server.kind === 'local') return startCluster(server, folder)
  if (server.kind === 'container') return startContainer(server)
  throw new Error(`No PostgreSQL to test with: ${server.reason}. Run: npm test`)
}

async function serverTemplate(admin: string, home: string): Promise<Template> {
  const client = new pg.Client({ connectionString: admin })
  // Where set-up fails the server goes while this is open; that must not hide why it failed.
  client.on('error', () => {})
  await client.connect()
  try {
    await client.query(`create database ${TEMPLATE}`)
    const url = new URL(admin)
    url.pathname = `/${TEMPLATE}`
    await migrated({ url: url.href, home })
  } finally {
    await client.end()
  }
  return { at: admin }
}

async function migrated(settings: DatabaseSettings): Promise<void> {
  const db = await openDatabase(settings)
  try {
    await migrate(db)
  } finally {
    await db.close()
  }
}

/** Turns a fault into the reason that the tests of this kind fail with. */
async function attempt(work: () => Promise<Template>): Promise<Template> {
  try {
    return await work()
  } catch (error) {
    return { fault: error instanceof Error ? (error.stack ?? error.message) : String(error) }
  }
}
