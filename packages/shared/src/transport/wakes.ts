import type { GivenToNode } from '@earshot/db/functions/jobs'

/**
 * assigned: look at your assignments. cancelled: something is no longer yours. recall: hand back
 * what you have not started.
 */
export type Hint = 'assigned' | 'cancelled' | 'recall'

/** Who is woken, and why. `given`: the assignments themselves, where they are few. */
export type Wake = {
  node: string
  incarnation: number
  hint: Hint
  given?: GivenToNode | undefined
}
export type OnHint = (hint: Hint, given?: GivenToNode) => void

/**
 * A way by which wake-ups get to nodes. A message may come twice, late, to an incarnation that is
 * gone, or never: what is true stands in the database, and a node's next heartbeat (2 s) tells it.
 * What a message carries spares the node one question; whether it is fresh, its own and new, the
 * node looks at itself.
 */
export type Wakes = {
  /**
   * Sends; resolves when the message is out of our hands.
   *
   * @throws Error when this way is closed now
   */
  send(wake: Wake): Promise<void>
  /**
   * Hears what is sent to this incarnation of a node, forever. After a gap it hears `cancelled`, at
   * which a node asks for all that is its own.
   */
  hear(node: string, incarnation: number, onHint: OnHint): Promise<Hearing>
}

export type Hearing = { close(): Promise<void> }
