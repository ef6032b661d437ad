import type { Context } from '../context.ts'
import { frame } from '../top/frame.ts'
import { openScreen } from '../top/screen.ts'
import { createWatch } from '../top/watch.ts'

const EVERY_MS = 1_000
/** One frame as plain text has no edge. */
const WIDE = 200

/**
 * `earshot top`: nodes, lanes and jobs in hand, drawn again every second; one frame where there is
 * no terminal.
 */
export async function run(
  { client, output, interrupts, surroundings }: Context,
  _: string[],
  { once }: { once?: boolean },
): Promise<void> {
  const left = new AbortController()
  const signal = AbortSignal.any([interrupts.first, left.signal])
  const watch = createWatch(client, signal)
  const first = await watch.state()
  if (output.json) return output.printJson(first)
  const screen = once === true ? undefined : openScreen(surroundings, () => left.abort())
  if (screen === undefined) {
    for (const line of frame(first, surroundings.stdout.columns ?? WIDE, Infinity, output))
      output.print(line)
    return
  }
  const draw = async (): Promise<void> =>
    screen.draw((width, height) => frame(state, width, height, output))
  let state = first
  screen.onResize(() => void draw())
  watch.follow(signal).catch((error: unknown) => left.abort(error))
  try {
    while (!signal.aborted) {
      await draw()
      await pause(EVERY_MS, signal)
      if (!signal.aborted) state = await watch.state()
    }
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    screen.close()
  }
  if (left.signal.reason instanceof Error && left.signal.reason.name !== 'AbortError')
    throw left.signal.reason
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(end, ms)
    signal.addEventListener('abort', end, { once: true })
    function end(): void {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }
  })
}
