// The process in which whisper.cpp runs, so that its crash is this process's alone; started by
// whisper-process.ts.
import { open } from 'node:fs/promises'
import { createRequire } from 'node:module'
import type { FromChild, Hearing, Loading, ToChild } from './whisper-process.ts'

type Segments = { text: string; t0: number; t1: number }[]
/** What we use of the native module; see https://www.npmjs.com/package/@fugood/whisper.node. */
type Native = {
  WhisperContext: (new (options: {
    filePath: string
    useGpu: boolean
  }) => Context | Promise<Context>) & {
    toggleNativeLog(enable: boolean, callback?: (level: string, text: string) => void): void
  }
}
type Context = {
  transcribeData(
    audio: ArrayBuffer,
    options: Record<string, unknown>,
  ): { promise: Promise<{ language?: string; segments: Segments }> }
}

const say = (message: FromChild): void => void process.send!(message)
let context: Context | undefined
/** Whether something is being heard. */
let busy = false

// Anyone who started it is gone: no one wants the result.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))
// What fails in native code settles no promise (1.1.3): that nothing is left to do is the only
// sign.
process.on('beforeExit', () => {
  if (!busy) return
  busy = false
  process.channel!.ref()
  say({ failed: 'whisper.cpp gave up without a reason; the model file may be damaged.' })
})
process.on('message', (message: ToChild) => {
  const work = 'load' in message ? load(message.load) : hear(message.hear)
  work.catch((err: unknown) => {
    busy = false
    process.channel!.ref()
    say({ failed: err instanceof Error ? err.message : String(err) })
  })
})

async function load({ native, model, build }: Loading): Promise<void> {
  const began = performance.now()
  const { WhisperContext } = createRequire(native)(native) as Native
  let told = ''
  if (model === null) return say({ loaded: { seconds: 0 } })
  WhisperContext.toggleNativeLog(true, (_, text) => {
    told = (told + text).slice(-20_000)
  })
  try {
    context = await new WhisperContext({ filePath: model, useGpu: build !== 'cpu' })
  } finally {
    WhisperContext.toggleNativeLog(false)
  }
  // Lines of the log come from another thread, after what they tell of.
  await new Promise((resolve) => setImmediate(resolve))
  if (build !== 'cpu' && /no GPU found/.test(told))
    throw new Error(`whisper.cpp's ${build} build found no GPU that it can use.`)
  say({ loaded: { seconds: (performance.now() - began) / 1000 } })
}

async function hear({ wav, from, bytes, options }: Hearing): Promise<void> {
  const audio = new ArrayBuffer(bytes)
  const handle = await open(wav)
  try {
    await handle.read(new Uint8Array(audio), 0, bytes, from)
  } finally {
    await handle.close()
  }
  busy = true
  process.channel!.unref()
  let done = 0
  const alive = (percent: unknown) => {
    if (typeof percent === 'number') done = percent / 100
    say({ alive: done })
  }
  const { promise } = context!.transcribeData(audio, {
    ...options,
    onProgress: alive,
    onNewSegments: alive,
  })
  const { language, segments } = await promise
  busy = false
  process.channel!.ref()
  say({ heard: { ...(language === undefined ? {} : { language }), segments } })
}
