export type Queue = {
  /** Adds work; `heavy` work never fills all places. What the work throws goes to `onError`. */
  add(work: () => Promise<void>, heavy?: boolean): void
  /** Settles once nothing waits and nothing runs. */
  idle(): Promise<void>
  /** Drops what waits; what runs goes on. */
  clear(): void
}

/**
 * Runs work in the order it came, `places` at once. One place is kept free of heavy work when there
 * are several, so that a small file does not wait behind two recordings of ten hours.
 *
 * @example
 * const hashing = createQueue(2, (error) => log.error({ err: error }, 'taking in a file failed'))
 */
export function createQueue(places: number, onError: (error: unknown) => void): Queue {
  const light = createLine()
  const heavy = createLine()
  let running = 0
  let heavyRunning = 0
  let waiters: (() => void)[] = []
  let order = 0

  function next(): { work: () => Promise<void>; isHeavy: boolean } | undefined {
    const heavyMay = heavyRunning < Math.max(1, places - 1)
    const isHeavy = heavyMay && heavy.first() < light.first()
    const work = (isHeavy ? heavy : light).shift()
    return work && { work, isHeavy }
  }

  function pump(): void {
    while (running < places) {
      const chosen = next()
      if (chosen === undefined) break
      running++
      if (chosen.isHeavy) heavyRunning++
      void chosen
        .work()
        .catch(onError)
        .finally(() => {
          running--
          if (chosen.isHeavy) heavyRunning--
          pump()
        })
    }
    if (running === 0 && light.first() === Infinity && heavy.first() === Infinity) {
      for (const done of waiters) done()
      waiters = []
    }
  }

  return {
    add(work, isHeavy = false) {
      ;(isHeavy ? heavy : light).push(order++, work)
      pump()
    },
    idle: () =>
      new Promise((resolve) => {
        waiters.push(resolve)
        pump()
      }),
    clear() {
      light.clear()
      heavy.clear()
    },
  }
}

/** First in, first out, without moving the others as Array.shift does: 100,000 files may wait. */
function createLine() {
  let items: { order: number; work: () => Promise<void> }[] = []
  let head = 0
  return {
    push: (order: number, work: () => Promise<void>) => void items.push({ order, work }),
    first: () => items[head]?.order ?? Infinity,
    shift() {
      const work = items[head++]?.work
      if (work === undefined || head > 1000) {
        items = items.slice(head)
        head = 0
      }
      return work
    },
    clear() {
      items = []
      head = 0
    },
  }
}
