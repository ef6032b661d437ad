import { once } from 'node:events'
import { type AddressInfo, type Socket, connect, createServer } from 'node:net'

/**
 * A TCP port in front of a PostgreSQL server, a pooler or another server, where the network can be
 * made to fail.
 */
export type Proxy = AsyncDisposable & {
  /** The address given, through this port. */
  url: string
  /**
   * From now on nothing passes and no one is told, as when packets are dropped; also on connections
   * made meanwhile.
   */
  stall(): void
  /** What was held back flows on, late as it is. */
  resume(): void
  /** The connections there are never answer again, and no one is told; new ones are well. */
  deaden(): void
  /** Ends every connection at once. */
  cut(): void
  /**
   * The next query that contains `text` is carried out, and its connection cut before the answer
   * arrives; resolves then.
   */
  loseAnswer(text: string): Promise<void>
  /** Whether notifications are dropped on their way. */
  muffled: boolean
}

type Line = { socket: Socket; onward: Socket; answers: Messages; deaf: boolean }

const NOTIFICATION = 'A'
const READY = 'Z'

/**
 * Opens a port on loopback that passes everything on. What looks into messages (loseAnswer,
 * muffled) is for PostgreSQL.
 *
 * @example
 * await using proxy = await openProxy(process.env.DATABASE_URL)
 * proxy.stall()
 */
export async function openProxy(url: string): Promise<Proxy> {
  const target = new URL(url)
  const isPostgres = target.protocol.startsWith('postgres')
  const lines = new Set<Line>()
  let stalled = false
  let losing: { text: string; lost: () => void } | undefined

  function onSocket(socket: Socket): void {
    const onward = connect(Number(target.port), target.hostname)
    const line: Line = {
      socket,
      onward,
      answers: isPostgres ? splitMessages() : (data) => [data],
      deaf: false,
    }
    lines.add(line)
    for (const end of [socket, onward]) {
      end.on('error', () => end.destroy())
      end.on('close', () => (lines.delete(line), socket.destroy(), onward.destroy()))
      if (stalled) end.pause()
    }
    socket.on('data', (data) => {
      if (losing && data.includes(losing.text)) line.deaf = true
      onward.write(data)
    })
    socket.on('end', () => onward.end())
    onward.on('data', (data) => answer(line, data))
    onward.on('end', () => socket.end())
  }

  function answer(line: Line, data: Buffer): void {
    for (const message of line.answers(data)) {
      const type = String.fromCharCode(message[0]!)
      // Answered as a whole: what the query changed is committed.
      if (line.deaf && type === READY) {
        line.socket.destroy()
        losing?.lost()
        losing = undefined
      }
      if (!line.deaf && !(proxy.muffled && type === NOTIFICATION)) line.socket.write(message)
    }
  }

  const server = createServer(onSocket).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const own = new URL(url)
  own.port = String((server.address() as AddressInfo).port)
  const cut = () => lines.forEach(({ socket }) => socket.destroy())
  const proxy: Proxy = {
    url: own.href,
    muffled: false,
    stall() {
      stalled = true
      for (const { socket, onward } of lines) for (const end of [socket, onward]) end.pause()
    },
    resume() {
      stalled = false
      for (const { socket, onward } of lines) for (const end of [socket, onward]) end.resume()
    },
    deaden() {
      for (const { socket, onward } of lines) {
        for (const end of [socket, onward])
          end.removeAllListeners('data').removeAllListeners('end').resume()
      }
    },
    cut,
    loseAnswer: (text) => new Promise((lost) => (losing = { text, lost })),
    async [Symbol.asyncDispose]() {
      cut()
      server.close()
      await once(server, 'close')
    },
  }
  return proxy
}

type Messages = (data: Buffer) => Buffer[]

/** Splits what a server says into its messages: one byte of type, four of length. */
function splitMessages(): Messages {
  let rest: Buffer = Buffer.alloc(0)
  return (data) => {
    rest = rest.length === 0 ? data : Buffer.concat([rest, data])
    const whole: Buffer[] = []
    while (rest.length >= 5) {
      const length = 1 + rest.readUInt32BE(1)
      if (rest.length < length) break
      whole.push(rest.subarray(0, length))
      rest = rest.subarray(length)
    }
    return whole
  }
}
