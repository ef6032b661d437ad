import type {
  AddedDocument,
  ArtifactView,
  DocumentStatus,
  DocumentView,
  Enqueued,
  EnqueueOptions,
  EventView,
  HealthView,
  JobAction,
  JobChoice,
  JobClass,
  JobStatus,
  JobView,
  Kind,
  ListedJob,
  KindDefinition,
  KindName,
  KindRef,
  KindView,
  LanesView,
  MediaView,
  NodeView,
  PruneView,
  Payload,
  ProgressEvent,
  SearchAnswer,
  Segment,
  TranscriptFormat,
  WhyView,
} from '@earshot/contract'
import { type EventOptions, subscribe } from './events.ts'
import { createHttp, type Fetch, type Http } from './http.ts'
import { readJob, requestOf } from './kinds.ts'
import { type MediaBody, type MediaOptions, upload } from './media.ts'
import { createWaiting, type WaitOptions } from './wait.ts'

export type ClientSettings = {
  /** Where the mesh answers; http://127.0.0.1:7700 unless told otherwise. */
  url?: string
  /** The mesh key (EARSHOT_KEY), needed beyond loopback. */
  key?: string | undefined
  fetch?: Fetch
}

declare const KIND: unique symbol
/** What `enqueue` answers: the id, and the kind so that `wait` knows the type of the result. */
export type EnqueuedJob<K extends KindRef = KindRef> = Enqueued & {
  kind: KindName<K>
  /** For the compiler only. */ readonly [KIND]?: K
}
/** One of many jobs to enqueue: kind and payload beside the options. */
export type JobRequest =
  | { [K in Kind]: { kind: K; payload: Payload<K> } & EnqueueOptions }[Kind]
  | ({ kind: KindDefinition; payload: Record<string, unknown> } & EnqueueOptions)
/** For a job that is known by its id alone: its kind, so that its result is read and typed. */
type Of<K extends KindRef> = { kind?: K }
/** A file that a job made: what is known of it, and its bytes. */
export type Artifact = ArtifactView & { body: ReadableStream<Uint8Array> }

export type Page = {
  limit?: number
  /** Only older than this id. */ before?: number
  signal?: AbortSignal
}
export type JobsFilter = {
  status?: JobStatus | readonly JobStatus[]
  kind?: string
  ids?: readonly number[]
} & Page
type Signal = { signal?: AbortSignal }
type Action = { dry_run?: boolean } & Signal

export type Client = {
  readonly url: string
  /**
   * Whether the mesh is well. @throws EARSHOT_UNREACHABLE when no one answers, EARSHOT_DATABASE
   * when its database does not.
   */
  health(options?: Signal): Promise<HealthView>
  /**
   * Hands one job to the mesh: of a built-in kind by its name, of a kind of your own by its
   * definition. The payload is checked before it is sent. Safe to repeat with an `idempotency_key`.
   *
   * @throws EARSHOT_BAD_REQUEST with the `field` that is wrong; EARSHOT_UNKNOWN_KIND.
   * @example
   * const job = await client.enqueue('speak', { text: 'The kettle is on.' }, { priority: 10 })
   * const { result } = await client.wait(job) // result.artifact_id: number
   */
  enqueue<const K extends KindRef>(
    kind: K,
    payload: Payload<K>,
    options?: EnqueueOptions & Signal,
  ): Promise<EnqueuedJob<K>>
  /**
   * Hands up to 1,000 jobs to the mesh in one transaction: all or none.
   *
   * @example
   * await client.enqueueMany(texts.map((text) => ({ kind: 'speak', payload: { text } })))
   */
  enqueueMany(jobs: readonly JobRequest[], options?: Signal): Promise<EnqueuedJob[]>
  /**
   * Makes kinds of your own known to the mesh, so that jobs of them may wait for the first worker
   * that runs them. Workers do it by themselves when they join; the newest definition counts.
   *
   * @throws EARSHOT_BAD_REQUEST when a name or role is one of Earshot's own, or the role changes
   *   while jobs of the kind are open
   * @example
   * await client.register(thumbnail)
   */
  register(kinds: KindDefinition | readonly KindDefinition[], options?: Signal): Promise<KindView[]>
  /** Every kind that the mesh knows. */
  kinds(options?: Signal): Promise<KindView[]>
  /** One job with its history. @throws EARSHOT_NOT_FOUND. */
  get<K extends KindRef = KindRef>(
    id: number | EnqueuedJob<K>,
    options?: Signal & Of<K>,
  ): Promise<JobView<K>>
  /**
   * The job once it is completed, failed or cancelled: look at `status`. Survives restarts of the
   * mesh. The result of a kind of your own is read by its definition.
   *
   * @throws EARSHOT_DEADLINE after `timeout_s`, the signal's reason when aborted, EARSHOT_NOT_FOUND
   *   for an unknown job, EARSHOT_RESULT_REFUSED when the result does not fit the definition.
   * @example
   * const job = await client.wait(12, { timeout_s: 60, onProgress: (part) => console.log(`${Math.round(part * 100)} %`) })
   * const { result } = await client.wait(13, { kind: thumbnail })
   */
  wait<K extends KindRef = KindRef>(
    id: number | EnqueuedJob<K>,
    options?: WaitOptions & Of<K>,
  ): Promise<JobView<K>>
  /**
   * Cancels jobs: one, many, or all that fit a choice; answers with the ids that were still open.
   * With `dry_run` nothing is changed.
   *
   * @throws EARSHOT_NOT_FOUND when a single id is unknown.
   */
  cancel(
    jobs: number | readonly number[] | JobChoice,
    options?: Action,
  ): Promise<JobAction<'cancelled'>>
  /**
   * Tries jobs again that failed, were cancelled or rest after a failure; answers with the ids that
   * were. With `dry_run` nothing is changed.
   *
   * @throws EARSHOT_NOT_FOUND when a single id is unknown.
   * @example
   * const { retried } = await client.retry({ status: ['failed'], kind: 'transcribe' }, { dry_run: true })
   */
  retry(
    jobs: number | readonly number[] | JobChoice,
    options?: Action,
  ): Promise<JobAction<'retried'>>
  /**
   * Why a job waits, runs or ended, node by node, and when it is expected to start. @throws
   * EARSHOT_NOT_FOUND.
   */
  why(id: number | EnqueuedJob, options?: Signal): Promise<WhyView>
  /**
   * Jobs, newest first; the next page: `before` the last id. Their payloads, which may be large,
   * come only with `payload: true`.
   *
   * @example
   * for (const { id, title } of await client.jobs({ status: 'failed' })) console.log(id, title)
   */
  jobs(filter: JobsFilter & { payload: true }): Promise<JobView[]>
  jobs(filter?: JobsFilter): Promise<ListedJob[]>
  /**
   * What was said where: hits for a query, best first; none when no document holds it.
   *
   * @example
   * const { hits } = await client.search('harbour lighthouse')
   * for (const hit of hits) console.log(`${hit.title} at ${hit.start_s} s: ${hit.text}`)
   */
  search(
    query: string,
    options?: { limit?: number; corpus?: string } & Signal,
  ): Promise<SearchAnswer>
  /** The lanes that have work, and why no node can run it where none can. */
  lanes(options?: Signal): Promise<LanesView>
  nodes(options?: Signal): Promise<NodeView[]>
  /** @throws EARSHOT_NOT_FOUND */
  node(id: string, options?: Signal): Promise<NodeView>
  /**
   * Drains a node: it finishes what it has and gets nothing more until it is resumed, restarts or
   * not. @throws EARSHOT_NOT_FOUND
   */
  drainNode(id: string, options?: Signal): Promise<NodeView>
  /** Lets a drained or quarantined node work again. @throws EARSHOT_NOT_FOUND */
  resumeNode(id: string, options?: Signal): Promise<NodeView>
  /**
   * Takes a node out until it is resumed; what it has goes back at once, uncharged. @throws
   * EARSHOT_NOT_FOUND
   */
  quarantineNode(id: string, options?: { reason?: string } & Signal): Promise<NodeView>
  /**
   * How much is kept no longer, by sort; `dry_run: false` deletes it. The leader deletes it anyway,
   * a part each minute.
   */
  prune(options?: { dry_run?: boolean } & Signal): Promise<PruneView>
  /** @throws EARSHOT_NOT_FOUND */
  document(id: number, options?: Signal): Promise<DocumentView>
  /** Documents, newest first; the next page: `before` the last id. */
  documents(filter?: { status?: DocumentStatus } & Page): Promise<DocumentView[]>
  segments(documentId: number, options?: Signal): Promise<Segment[]>
  /** A document's text: plain, as subtitles, or as JSON text. @throws EARSHOT_NOT_FOUND. */
  transcript(documentId: number, format?: TranscriptFormat, options?: Signal): Promise<string>
  /**
   * Streams a file of any size into the mesh, which names it by its SHA-256.
   *
   * @throws EARSHOT_DISK_FULL, EARSHOT_TOO_LARGE, EARSHOT_BAD_REQUEST when fewer bytes came than
   *   `size` says.
   * @example
   * const { hash } = await client.addMedia(await openAsBlob('talk.mp3'))
   * const { job_id } = await client.addDocument({ media: hash, title: 'talk.mp3', kind: 'audio' })
   */
  addMedia(body: MediaBody, options?: MediaOptions): Promise<MediaView>
  /**
   * Makes a document of media sent before and enqueues its first job. The same content twice is one
   * document, and said so.
   */
  addDocument(
    document: {
      media: string
      title: string
      kind: 'audio' | 'text'
      /** Batch unless somebody waits for it. */ class?: JobClass
      /** What is spoken, as `en`: a node that hears it gets the job. */ language?: string
    },
    options?: Signal,
  ): Promise<AddedDocument>
  /**
   * A file that a job made, such as the WAV of a `speak` job. @throws EARSHOT_NOT_FOUND,
   * EARSHOT_MEDIA_GONE.
   */
  artifact(id: number, options?: Signal): Promise<Artifact>
  /**
   * Events as they are committed, none skipped and none twice, also across restarts of the mesh;
   * ends when `signal` aborts or the loop is left.
   *
   * @throws EARSHOT_UNREACHABLE when the first connection fails; later ones are tried again
   *   forever.
   * @example
   * for await (const event of client.events({ types: ['document.ready'] })) console.log(event.document_id)
   */
  events(
    options: EventOptions & { progress: true },
  ): AsyncIterableIterator<EventView | ProgressEvent>
  events(options?: EventOptions): AsyncIterableIterator<EventView>
}

/**
 * A client of one mesh; the same in Node and in a browser.
 *
 * @example
 * const client = createClient({ url: 'http://127.0.0.1:7700' })
 * const job = await client.enqueue('speak', { text: 'Hello' })
 * console.log((await client.wait(job)).status) // 'completed'
 */
export function createClient(settings: ClientSettings = {}): Client {
  const http = createHttp({
    url: settings.url ?? 'http://127.0.0.1:7700',
    key: settings.key,
    fetch: settings.fetch ?? ((url, init) => fetch(url, init)),
  })
  return {
    url: http.url,
    health: (options) => http.json('/healthz', { ...options }),
    ...jobs(http),
    ...library(http),
    lanes: (options) => http.json('/v1/lanes', { ...options }),
    nodes: async (options) =>
      (await http.json<{ nodes: NodeView[] }>('/v1/nodes', { ...options })).nodes,
    node: (id, options) => http.json(nodePath(id), { ...options }),
    drainNode: (id, options) => http.json(`${nodePath(id)}/drain`, { method: 'POST', ...options }),
    resumeNode: (id, options) =>
      http.json(`${nodePath(id)}/resume`, { method: 'POST', ...options }),
    quarantineNode: (id, { reason, signal } = {}) =>
      http.json(`${nodePath(id)}/quarantine`, { json: { reason }, signal }),
    prune: ({ dry_run = true, signal } = {}) =>
      http.json('/v1/prune', { json: { dry_run }, signal }),
    events: (options?: EventOptions) =>
      subscribe(http, options) as AsyncIterableIterator<EventView>,
  }
}

type Jobs = Pick<
  Client,
  | 'enqueue'
  | 'enqueueMany'
  | 'register'
  | 'kinds'
  | 'get'
  | 'wait'
  | 'cancel'
  | 'retry'
  | 'why'
  | 'jobs'
>

function jobs(http: Http): Jobs {
  const wait = createWaiting(http)
  const enqueue = async (
    kind: KindRef,
    payload: unknown,
    { signal, ...options }: EnqueueOptions & Signal = {},
  ) => {
    const request = requestOf(kind, payload)
    return {
      ...(await http.json<Enqueued>('/v1/jobs', { json: { ...request, ...options }, signal })),
      kind: request.kind,
    }
  }
  return {
    enqueue: enqueue as Client['enqueue'],
    async enqueueMany(asked, options) {
      const jobs = asked.map(({ kind, payload, ...more }, at) => ({
        ...requestOf(kind, payload, `jobs[${at}].`),
        ...more,
      }))
      const answer = await http.json<{ jobs: Enqueued[] }>('/v1/jobs', {
        json: { jobs },
        ...options,
      })
      return answer.jobs.map((job, at) => ({ ...job, kind: jobs[at]!.kind }))
    },
    async register(kinds, options) {
      const views: KindView[] = []
      for (const { registration } of 'kind' in kinds ? [kinds] : kinds) {
        views.push(await http.json<KindView>('/v1/kinds', { json: registration, ...options }))
      }
      return views
    },
    kinds: async (options) =>
      (await http.json<{ kinds: KindView[] }>('/v1/kinds', { ...options })).kinds,
    get: async (job, { kind, ...options } = {}) =>
      readJob(await http.json<JobView>(`/v1/jobs/${idOf(job)}`, options), kind),
    wait: async (job, { kind, ...options } = {}) => readJob(await wait(idOf(job), options), kind),
    cancel: (which, options) => act(http, 'cancel', which, options),
    retry: (which, options) => act(http, 'retry', which, options),
    why: (job, options) => http.json(`/v1/jobs/${idOf(job)}/why`, { ...options }),
    jobs: (async (filter?: JobsFilter & { payload?: boolean }): Promise<ListedJob[]> => {
      const { signal, payload, ...query } = filter ?? {}
      const asked = payload === true ? { ...query, payload: 1 } : query
      return (await http.json<{ jobs: ListedJob[] }>('/v1/jobs', { query: asked, signal })).jobs
    }) as Client['jobs'],
  }
}

function act<T>(
  http: Http,
  action: 'cancel' | 'retry',
  which: number | readonly number[] | JobChoice,
  { dry_run, signal }: Action = {},
): Promise<T> {
  if (typeof which === 'number' && dry_run !== true)
    return http.json(`/v1/jobs/${which}/${action}`, { method: 'POST', signal })
  const choice =
    typeof which === 'number' ? { ids: [which] } : 'length' in which ? { ids: which } : which
  return http.json(`/v1/jobs/${action}`, {
    json: { ...choice, ...(dry_run === true ? { dry_run } : {}) },
    signal,
  })
}

type Library = Pick<
  Client,
  | 'search'
  | 'document'
  | 'documents'
  | 'segments'
  | 'transcript'
  | 'addMedia'
  | 'addDocument'
  | 'artifact'
>

function library(http: Http): Library {
  return {
    search: (q, { signal, ...query } = {}) =>
      http.json('/v1/search', { query: { q, ...query }, signal }),
    document: (id, options) => http.json(`/v1/documents/${id}`, { ...options }),
    documents: async ({ signal, ...query } = {}) =>
      (await http.json<{ documents: DocumentView[] }>('/v1/documents', { query, signal }))
        .documents,
    segments: async (id, options) =>
      (await http.json<{ segments: Segment[] }>(`/v1/documents/${id}/segments`, { ...options }))
        .segments,
    transcript: async (id, format = 'txt', options) =>
      (await http.send(`/v1/documents/${id}/transcript`, { query: { format }, ...options })).text(),
    addMedia: (body, options = {}) => upload(http, body, options),
    addDocument: (document, options) => http.json('/v1/documents', { json: document, ...options }),
    artifact: async (id, options) =>
      artifactOf(id, await http.send(`/v1/artifacts/${id}`, { ...options })),
  }
}

function artifactOf(id: number, response: Response): Artifact {
  const header = (name: string): string => response.headers.get(name) ?? ''
  const name = decodeURIComponent(
    /filename\*=UTF-8''([^;]+)/.exec(header('content-disposition'))?.[1] ?? '',
  )
  const body = response.body ?? new Blob([]).stream()
  return {
    id,
    name,
    type: header('content-type'),
    size: Number(header('content-length')),
    hash: header('etag').replaceAll('"', ''),
    body,
  }
}

const nodePath = (id: string): string => `/v1/nodes/${encodeURIComponent(id)}`
const idOf = (job: number | { id: number }): number => (typeof job === 'number' ? job : job.id)
