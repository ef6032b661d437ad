/**
 * Something that runs until it is told to stop.
 *
 * `stop` lets work in hand end by itself; when `hurry` fires (a second Ctrl-C, or the time to
 * finish is over) it gives back what is left at once. Both are safe to call twice.
 */
export type Service = {
  start(): Promise<void>
  stop(hurry?: AbortSignal): Promise<void>
  /**
   * Settles when the service cannot go on by itself, with the reason: a newer process took over its
   * name, say.
   */
  readonly ended?: Promise<unknown>
}

/**
 * Makes one service of several: they start in the order given and stop in the reverse order.
 *
 * When one fails to start, those already running are stopped and its error is thrown. When some
 * fail to stop, the others are stopped all the same; then the one error, or an AggregateError of
 * all, is thrown.
 *
 * @example
 * const mesh = composeServices([coordinator, worker])
 * await mesh.start()
 */
export function composeServices(services: readonly Service[]): Service {
  const running: Service[] = []

  const stop = async (hurry?: AbortSignal): Promise<void> => {
    const errors: unknown[] = []
    for (let service = running.pop(); service !== undefined; service = running.pop()) {
      await service.stop(hurry).catch((error: unknown) => errors.push(error))
    }
    if (errors.length === 1) throw errors[0]
    if (errors.length > 1)
      throw new AggregateError(errors, `${errors.length} services failed to stop.`)
  }

  const start = async (): Promise<void> => {
    for (const service of services) {
      try {
        await service.start()
      } catch (error) {
        // The half-started one may hold a port or a timer too, so it is stopped with the rest.
        running.push(service)
        await stop(AbortSignal.abort()).catch((stopError: unknown) => {
          throw new AggregateError(
            [error, stopError],
            `${messageOf(error)} Stopping what had started failed as well.`,
          )
        })
        throw error
      }
      running.push(service)
    }
  }

  const ends = services.flatMap((service) => (service.ended === undefined ? [] : [service.ended]))
  return { start, stop, ...(ends.length === 0 ? {} : { ended: Promise.race(ends) }) }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
