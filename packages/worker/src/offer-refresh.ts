import type { Config } from '@earshot/shared/config'
import type { Database } from '@earshot/db/database'
import { updateOffer } from '@earshot/db/functions/nodes'
import type { Log } from '@earshot/shared/log'
import { type Loop, createLoop } from '@earshot/shared/loop'
import type { Tags } from '@earshot/shared/platform'
import type { Engines } from './engines/registry.ts'
import type { Node } from './node.ts'
import type { Offering } from './offer.ts'

/** How soon the mesh hears of a model that was pulled, or of a server that came or went. */
const EVERY_MS = 30_000
/** What took too long at the start is looked at again after this. */
const FIRST_MS = 4_000

/** A node's tags: what was found, what it offers, what someone said of it. */
export const tagsOf = (found: Tags, { tags }: Offering, config: Config): Tags => ({
  ...found,
  ...tags,
  ...config.node.tags,
  node: config.node.id,
})

/**
 * Keeps what a node offers up to date while it runs: looks at its engines again, tells the mesh of
 * a change, and lets the runner know, which holds the very objects that are changed here.
 *
 * @param options.make what is offered now
 */
export function createOfferRefresh(options: {
  db: Database
  node: Node
  log: Log
  engines: Engines
  config: Config
  found: Tags
  offer: Offering
  tags: Tags
  make: () => Offering
}): Loop {
  const { db, node, log, engines, config, found, offer, tags, make } = options
  /** The database was away when something had changed. */
  let untold = false

  async function renew(): Promise<void> {
    await engines.refresh()
    const next = make()
    const { roles, slots, capabilities } = next
    const nextTags = tagsOf(found, next, config)
    if (
      !untold &&
      same(
        [roles, slots, capabilities, nextTags],
        [offer.roles, offer.slots, offer.capabilities, tags],
      )
    )
      return
    untold = true
    // First able to, then asked to.
    for (const [kind, handler] of next.handlers) offer.handlers.set(kind, handler)
    offer.roles.splice(0, offer.roles.length, ...roles)
    refill(offer.slots, slots)
    refill(tags, nextTags)
    offer.capabilities = capabilities
    const done = await updateOffer(
      db.pool,
      node.incarnation,
      {
        id: node.id,
        roles,
        tags: nextTags,
        capabilities,
        slots,
      },
      node.token,
    )
    untold = false
    if (done)
      log.info(
        { roles, models: Object.keys(capabilities.models) },
        'What this node offers has changed',
      )
  }
  const loop = createLoop({ everyMs: EVERY_MS, work: renew, log })
  let first: NodeJS.Timeout | undefined
  return {
    ...loop,
    start: () => {
      loop.start()
      first = setTimeout(loop.kick, FIRST_MS)
    },
    stop: async () => {
      clearTimeout(first)
      await loop.stop()
    },
  }
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)

function refill<T extends Record<string, unknown>>(target: T, next: T): void {
  for (const key of Object.keys(target)) if (!(key in next)) delete target[key]
  Object.assign(target, next)
}
