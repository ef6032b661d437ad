import { Worker } from 'node:worker_threads'
import { siblingModule } from '../sibling-module.ts'
import { EarshotError } from '@earshot/contract'
import type { Logger as Log } from 'pino'
import type { FromEngine, ToEngine } from './engine-thread.ts'

export type Engine = {
  /** What the engine says to a client that connects; waits until it is up. */
  greeting(): Promise<Buffer>
  /**
   * Sends wire messages and resolves with the whole answer. Rejects when the engine is lost
   * meanwhile.
   */
  exec(messages: Buffer): Promise<Buffer>
  close(): Promise<void>
}

export type EngineSettings = {
  /** Of the data files; made when it is not there. */
  directory: string
  /** Seconds one call may take before the thread is ended and the database opened again. */
  watchdogS: number
  /** Called when the engine died, before it is started again. */
  onLost: (error: EarshotError) => void
  log?: Log | undefined
}

type Pending = { resolve: (bytes: Buffer) => void; reject: (error: EarshotError) => void }
type Running = {
  worker: Worker
  pending: Map<number, Pending>
  greeting: Buffer
  lose: (error: EarshotError) => void
}

const CLOSE_LIMIT_MS = 30_000

/**
 * Starts the thread with the embedded database and keeps it running: when it dies, or one call
 * takes too long, every call in hand is rejected and it is started again, as a server that crashed
 * recovers.
 *
 * @throws EarshotError EARSHOT_DATABASE when the database cannot be opened
 */
export async function startEngine(settings: EngineSettings): Promise<Engine> {
  let current: Promise<Running> = start()
  let closing = false
  let calls = 0
  await current

  function start(): Promise<Running> {
    const started = startThread(settings, lost)
    started.catch(() => {}) // whoever asks for it next gets the rejection
    return started
  }

  function lost(error: EarshotError): void {
    if (closing) return
    settings.log?.error({ err: error }, 'The embedded database stopped and is opened again')
    current = start()
    settings.onLost(error)
  }

  /** A start that failed, say on a full disk, is tried again by the next who asks. */
  async function running(): Promise<Running> {
    if (closing) throw new EarshotError('EARSHOT_DATABASE', 'The embedded database is closed.')
    const mine = current
    return mine.catch(() => {
      if (current === mine) current = start()
      return current
    })
  }

  async function exec(messages: Buffer): Promise<Buffer> {
    const { worker, pending, lose } = await running()
    const id = ++calls
    const watchdog = setTimeout(() => lose(tooLong(settings.watchdogS)), settings.watchdogS * 1000)
    worker.ref()
    try {
      return await new Promise<Buffer>((resolve, reject) => {
        pending.set(id, { resolve, reject })
        worker.postMessage({ id, bytes: messages } satisfies ToEngine)
      })
    } finally {
      clearTimeout(watchdog)
      pending.delete(id)
      // An idle database keeps no process alive.
      if (pending.size === 0) worker.unref()
    }
  }

  async function close(): Promise<void> {
    if (closing) return
    closing = true
    const { worker } = await current
    const ended = new Promise((resolve) => worker.once('exit', resolve))
    worker.ref()
    worker.postMessage({ close: true } satisfies ToEngine)
    const limit = setTimeout(() => void worker.terminate(), CLOSE_LIMIT_MS)
    await ended
    clearTimeout(limit)
  }

  return { exec, close, greeting: async () => (await running()).greeting }
}

function startThread(
  { directory }: EngineSettings,
  onLost: (error: EarshotError) => void,
): Promise<Running> {
  const worker = new Worker(siblingModule(import.meta.url, 'engine-thread'), {
    workerData: { directory },
    execArgv: [],
  })
  const pending = new Map<number, Pending>()
  const { promise, resolve, reject } = Promise.withResolvers<Running>()
  let up = false
  let gone = false

  function lose(error: EarshotError): void {
    if (gone) return
    gone = true
    for (const call of pending.values()) call.reject(error)
    void worker.terminate()
    if (up) onLost(error)
    else reject(error)
  }

  worker.on('message', (said: FromEngine) => {
    if ('greeting' in said) {
      up = true
      worker.unref()
      resolve({ worker, pending, greeting: Buffer.from(said.greeting), lose })
    } else
      pending
        .get(said.id)
        ?.resolve(Buffer.from(said.bytes.buffer, said.bytes.byteOffset, said.bytes.byteLength))
  })
  worker.on('error', (cause) => lose(up ? crashed(cause) : unopened(directory, cause)))
  worker.on('exit', () => lose(crashed(undefined)))
  return promise
}

function unopened(directory: string, cause: Error): EarshotError {
  if ((cause as NodeJS.ErrnoException).code === 'ENOTEMPTY') {
    return new EarshotError(
      'EARSHOT_DATABASE',
      `${directory} holds files that are no database; they are left alone.`,
      {
        hint: 'Move them away, or set EARSHOT_HOME to another folder',
        cause,
      },
    )
  }
  return new EarshotError(
    'EARSHOT_DATABASE',
    `The embedded database in ${directory} cannot be opened: ${cause.message}`,
    { cause },
  )
}

function crashed(cause: Error | undefined): EarshotError {
  return new EarshotError(
    'EARSHOT_DATABASE',
    `The embedded database stopped unexpectedly${cause ? `: ${cause.message}` : ''}.`,
    { cause },
  )
}

function tooLong(seconds: number): EarshotError {
  return new EarshotError(
    'EARSHOT_DATABASE',
    `A statement took longer than ${seconds} s, so the embedded database was restarted.`,
    {
      hint: 'A PostgreSQL server (DATABASE_URL) takes longer statements',
    },
  )
}
