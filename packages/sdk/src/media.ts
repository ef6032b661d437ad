import type { MediaView } from '@earshot/contract'
import type { Http } from './http.ts'

export type MediaOptions = {
  /**
   * Bytes, where known: the mesh then refuses an upload that stops short. Known by itself for a
   * Blob and a Uint8Array.
   */
  size?: number
  /** Called with the bytes sent so far. */
  onProgress?: (sent: number) => void
  signal?: AbortSignal
}

export type MediaBody = ReadableStream<Uint8Array> | Blob | Uint8Array

/** Streams a file of any size into the mesh; see `Client.addMedia`. */
export async function upload(
  http: Http,
  body: MediaBody,
  options: MediaOptions,
): Promise<MediaView> {
  const size = options.size ?? sizeOf(body)
  return http.json<MediaView>('/v1/media', {
    method: 'POST',
    query: { size },
    body: await sendable(body, options.onProgress),
    headers: { 'content-type': 'application/octet-stream' },
    signal: options.signal,
  })
}

function sizeOf(body: MediaBody): number | undefined {
  if (body instanceof Blob) return body.size
  return body instanceof Uint8Array ? body.byteLength : undefined
}

async function sendable(
  body: MediaBody,
  onProgress: ((sent: number) => void) | undefined,
): Promise<BodyInit> {
  const whole = !(body instanceof ReadableStream)
  if (whole && onProgress === undefined) return body as BodyInit
  const stream = whole ? new Blob([body as BlobPart]).stream() : body
  const counted = onProgress === undefined ? stream : stream.pipeThrough(counter(onProgress))
  // Most browsers cannot send a stream: there it is gathered first (kept on disk by the browser
  // where it is large).
  return canStream() ? counted : new Response(counted).blob()
}

function counter(
  onProgress: (sent: number) => void,
): TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>> {
  let sent = 0
  return new TransformStream({
    transform(piece, controller) {
      sent += piece.byteLength
      controller.enqueue(piece)
      onProgress(sent)
    },
  })
}

let streams: boolean | undefined

/**
 * Whether fetch sends a stream as a stream; one that does not reads it as text, and says so in the
 * content type.
 */
function canStream(): boolean {
  if (streams === undefined) {
    let asked = false
    const init = {
      method: 'POST',
      body: new ReadableStream(),
      get duplex() {
        asked = true
        return 'half'
      },
    }
    const typed = new Request('http://127.0.0.1', init as RequestInit).headers.has('content-type')
    streams = asked && !typed
  }
  return streams
}
