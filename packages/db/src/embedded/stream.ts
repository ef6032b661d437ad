import { Duplex } from 'node:stream'
import type { Link, Member } from './link.ts'
import { lengthAt, typeOf } from './messages.ts'
import type { ListenChange } from './sql-text.ts'
import { createStatements } from './statements.ts'

const CANCEL_REQUEST = 80877102
const SSL_REQUEST = 80877103
/** Messages after which the client waits for an answer. */
const ASKS = new Set(['Q', 'S', 'H'])
/** What a client sends for COPY FROM STDIN, which was refused before. */
const COPY_DATA = new Set(['d', 'c', 'f'])

let clients = 0

/** What node-postgres takes for a socket; its bytes go to the embedded engine. */
export class EmbeddedStream extends Duplex {
  readonly #link: Link
  readonly #member: Member
  readonly #statements = createStatements(++clients)
  #input: Buffer = Buffer.alloc(0)
  #greeted = false
  #batch: Buffer[] = []
  #listens: ListenChange[] = []
  /** Batches run one after the other, and leaving comes after the last. */
  #turn: Promise<void> = Promise.resolve()

  constructor(link: Link) {
    super()
    this.#link = link
    this.#member = {
      deliver: (bytes) => void (this.destroyed || this.readableEnded || this.push(bytes)),
      fail: (error) => void this.destroy(error),
      cleanUp: () => this.#statements.closeAll(),
    }
  }

  // The rest of net.Socket that node-postgres calls.
  connect(): this {
    this.#link.join(this.#member)
    process.nextTick(() => this.emit('connect'))
    return this
  }
  setNoDelay(): this {
    return this
  }
  setKeepAlive(): this {
    return this
  }
  ref(): this {
    return this
  }
  unref(): this {
    return this
  }

  override _read(): void {}

  override _write(
    chunk: Buffer,
    _encoding: BufferEncoding,
    done: (error?: Error | null) => void,
  ): void {
    this.#input = this.#input.length === 0 ? chunk : Buffer.concat([this.#input, chunk])
    try {
      if (this.#greeted || this.#startUp()) this.#takeMessages()
      done()
    } catch (error) {
      done(error as Error)
    }
  }

  override _final(done: () => void): void {
    this.#leave()
    done()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#leave()
    // Not awaited: the engine may be busy for long with someone else, and the client is gone
    // already.
    done(error)
  }

  /** The first packet has no type byte. Returns whether the conversation has begun. */
  #startUp(): boolean {
    if (this.#input.length < 8) return false
    const length = this.#input.readInt32BE(0)
    if (this.#input.length < length) return false
    const code = this.#input.readInt32BE(4)
    this.#input = this.#input.subarray(length)
    if (code === SSL_REQUEST) this.push(Buffer.from('N'))
    // There is no second session that could cancel: the watchdog is what ends a statement here.
    else if (code === CANCEL_REQUEST) this.push(null)
    else this.#greet()
    return this.#greeted
  }

  #greet(): void {
    this.#greeted = true
    this.#then(async () => this.#member.deliver(await this.#link.greeting()))
  }

  #takeMessages(): void {
    let at = 0
    for (
      let length = lengthAt(this.#input, at);
      length !== undefined;
      length = lengthAt(this.#input, at)
    ) {
      this.#take(this.#input.subarray(at, at + length))
      at += length
    }
    this.#input = this.#input.subarray(at)
  }

  #take(original: Buffer): void {
    const type = typeOf(original)
    if (COPY_DATA.has(type)) return
    if (type === 'X') return this.#leave()
    const rewritten = this.#statements.rewrite(original)
    this.#batch.push(rewritten.message)
    this.#listens.push(...rewritten.listens)
    if (!ASKS.has(type)) return
    const [batch, listens] = [this.#batch, this.#listens]
    this.#batch = []
    this.#listens = []
    this.#then(() => this.#link.run(this.#member, batch, listens))
  }

  #then(work: () => Promise<void>): void {
    this.#turn = this.#turn
      .then(() => (this.destroyed ? undefined : work()))
      .catch((error: Error) => void this.destroy(error))
  }

  #leave(): void {
    this.#turn = this.#turn.then(async () => {
      await this.#link.leave(this.#member)
      if (!this.destroyed && !this.readableEnded) this.push(null)
    })
  }
}
