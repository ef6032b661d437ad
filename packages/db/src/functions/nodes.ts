import type { Fenced } from './jobs.ts'
import { type Queryable, call } from './call.ts'

export type Registration = {
  id: string
  name: string
  host: string | null
  port: number | null
  version: string
  protocol: number
  roles: string[]
  tags: Record<string, unknown>
  capabilities: Record<string, unknown>
  /** Role to the number of jobs it runs at once; `*` is the most of all roles together. */
  slots: Record<string, number>
  /**
   * Tells one start of the machine from the next; null or left out where the system has no such id.
   */
  boot_id?: string | null
}

/**
 * Joins the mesh and returns the new incarnation; what an older one held goes back, uncharged.
 *
 * @param token random, drawn by the caller for this registration. Each later call of this node must
 *   show it, and the database keeps its hash alone. A node of the version before has none.
 */
export async function registerNode(
  db: Queryable,
  node: Registration,
  token: string | null = null,
): Promise<number> {
  const [row] = await call<{ incarnation: number }>(
    db,
    'register_node',
    'select earshot.register_node($1, $2, $3, $4, $5, $6, $7::text[], $8::jsonb, $9::jsonb, $10::jsonb, $11, $12) as incarnation',
    [
      node.id,
      node.name,
      node.host,
      node.port,
      node.version,
      node.protocol,
      node.roles,
      JSON.stringify(node.tags),
      JSON.stringify(node.capabilities),
      JSON.stringify(node.slots),
      token,
      node.boot_id ?? null,
    ],
  )
  return row!.incarnation
}

/** Says again what a node offers; false when a newer process with the same id took over. */
export async function updateOffer(
  db: Queryable,
  incarnation: number,
  node: Pick<Registration, 'id' | 'roles' | 'tags' | 'capabilities' | 'slots'>,
  token: string | null = null,
): Promise<boolean> {
  const [row] = await call<{ done: boolean }>(
    db,
    'update_offer',
    'select earshot.update_offer($1, $2, $3::text[], $4::jsonb, $5::jsonb, $6::jsonb, $7) as done',
    [
      node.id,
      incarnation,
      node.roles,
      JSON.stringify(node.tags),
      JSON.stringify(node.capabilities),
      JSON.stringify(node.slots),
      token,
    ],
  )
  return row!.done
}

/** What the database says this incarnation holds. */
export type Held = Fenced & { attempt: number }

/**
 * What a node measured of itself. `speeds`: kind to work done in a second; `warm`: kinds whose
 * engine is loaded; `shares`: coordinators whose disk it reads.
 */
export type Measured = { speeds: Record<string, number>; warm: string[]; shares: string[] }

/**
 * What a heartbeat is answered with. `held`: all its open jobs, or null when a newer process with
 * the same id took over; `now`: the database's clock, in seconds since 1970.
 */
export type HeartbeatReply = { held: Held[] | null; now: number }

/** Renews the lease. */
export async function heartbeat(
  db: Queryable,
  node: string,
  incarnation: number,
  busy: Record<string, number>,
  measured: Partial<Measured> = {},
  token: string | null = null,
): Promise<HeartbeatReply> {
  const [row] = await call<HeartbeatReply>(
    db,
    'heartbeat',
    'select earshot.heartbeat($1, $2, $3::jsonb, $4::jsonb, $5) as held, extract(epoch from clock_timestamp())::float8 as now',
    [node, incarnation, JSON.stringify(busy), JSON.stringify(measured), token],
  )
  return row!
}

/**
 * An orderly stop: what is left goes back uncharged, the node is offline at once. Returns how many
 * jobs went back.
 */
export async function deregisterNode(
  db: Queryable,
  node: string,
  incarnation: number,
  token: string | null = null,
): Promise<number> {
  const [row] = await call<{ count: number }>(
    db,
    'deregister_node',
    'select earshot.deregister_node($1, $2, $3) as count',
    [node, incarnation, token],
  )
  return row!.count
}

/** The NOTIFY channel on which a node hears that it was assigned work. */
export async function nodeChannel(db: Queryable, node: string): Promise<string> {
  const [row] = await call<{ channel: string }>(
    db,
    'node_channel',
    'select earshot.node_channel($1) as channel',
    [node],
  )
  return row!.channel
}

/**
 * Says how this incarnation hears that there is something for it; false when a newer one took over.
 */
export async function setWakeTransport(
  db: Queryable,
  node: string,
  incarnation: number,
  hears: 'notify' | 'redis',
  token: string | null = null,
): Promise<boolean> {
  const [row] = await call<{ done: boolean }>(
    db,
    'set_wake_transport',
    'select earshot.set_wake_transport($1, $2, $3, $4) as done',
    [node, incarnation, hears, token],
  )
  return row!.done
}

/** Wakes a node by notification, whatever it says that it hears. */
export async function wakeNodeByNotify(db: Queryable, node: string, hint: string): Promise<void> {
  await call(db, 'wake_node_by_notify', 'select earshot.wake_node_by_notify($1, $2)', [node, hint])
}

/** The nodes that are up or may come back, with their latest incarnation. */
export function livingNodes(db: Queryable): Promise<{ id: string; incarnation: number }[]> {
  return call(
    db,
    'living_nodes',
    `select id, incarnation from earshot.nodes where status <> 'offline'`,
    [],
  )
}

/** What tells this mesh from others in the same Redis. */
export async function meshId(db: Queryable): Promise<string> {
  const [row] = await call<{ id: string }>(db, 'mesh_id', 'select earshot.mesh_id() as id', [])
  return row!.id
}

/** The lease of the mesh in seconds, as the database has it. */
export async function leaseSeconds(db: Queryable): Promise<number> {
  const [row] = await call<{ lease_s: number }>(
    db,
    'lease_seconds',
    'select earshot.lease_seconds() as lease_s',
    [],
  )
  return row!.lease_s
}

/**
 * Tells the mesh that this node is about to stop: it gets nothing more, and finishes what it has.
 */
export async function drainNode(
  db: Queryable,
  node: string,
  incarnation: number,
  token: string | null = null,
): Promise<void> {
  await call(db, 'drain_node', 'select earshot.drain_node($1, $2, $3)', [node, incarnation, token])
}

/**
 * A person drains a node: it finishes what it has and gets nothing more until it is resumed. False
 * when it is unknown.
 */
export function setNodeDrain(db: Queryable, node: string): Promise<boolean> {
  return control(db, 'set_node_drain', 'select earshot.set_node_drain($1) as known', [node])
}

/** Lets a drained or quarantined node work again. False when it is unknown. */
export function resumeNode(db: Queryable, node: string): Promise<boolean> {
  return control(db, 'resume_node', 'select earshot.resume_node($1) as known', [node])
}

/**
 * A person takes a node out: nothing more until it is resumed, and what it has goes back,
 * uncharged. False when it is unknown.
 */
export function quarantineNode(
  db: Queryable,
  node: string,
  reason: string | null,
): Promise<boolean> {
  return control(db, 'quarantine_node', 'select earshot.quarantine_node($1, $2) as known', [
    node,
    reason,
  ])
}

async function control(
  db: Queryable,
  name: string,
  text: string,
  values: unknown[],
): Promise<boolean> {
  const [row] = await call<{ known: boolean }>(db, name, text, values)
  return row!.known
}
