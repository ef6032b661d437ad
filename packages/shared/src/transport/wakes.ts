/** assigned: look at your assignments. cancelled: something is no longer yours. recall: hand back what you have not started. */
export type Hint = 'assigned' | 'cancelled' | 'recall'

/** Who is woken, and why. `jobs`: what an assigned one was given, for whoever reads the message; a node asks the database all the same. */
export type Wake = { node: string; incarnation: number; hint: Hint; jobs?: readonly number[] }

/**
 * A way by which wake-ups get to nodes. A message only wakes: it may come twice, late, to an incarnation that is gone, or never; what is
 * true stands in the database, and a node's next heartbeat (2 s) tells it.
 */
export type Wakes = {
  /**
   * Sends; resolves when the message is out of our hands.
   *
   * @throws Error when this way is closed now
   */
  send(wake: Wake): Promise<void>
  /** Hears what is sent to this incarnation of a node, for ever. After a gap it hears `cancelled`, at which a node asks for all that is its own. */
  hear(node: string, incarnation: number, onHint: (hint: Hint) => void): Promise<Hearing>
}

export type Hearing = { close(): Promise<void> }
