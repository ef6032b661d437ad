// testcontainers is loaded where it is needed: most machines have the programs, and it takes a
// while to load.
import type { Cluster } from './cluster.ts'

export type ContainerServer = { kind: 'container'; image: string }

/** Starts PostgreSQL in a container, for machines without the server's programs. */
export async function startContainer({ image }: ContainerServer): Promise<Cluster> {
  const { PostgreSqlContainer } = await import('@testcontainers/postgresql')
  const container = await new PostgreSqlContainer(image)
    .withUsername('earshot')
    .withDatabase('postgres')
    .withCommand(['postgres', '-c', 'fsync=off', '-c', 'max_connections=200'])
    .start()
  return { url: container.getConnectionUri(), stop: async () => void (await container.stop()) }
}

/**
 * A Redis in a container, for machines without the program; it can be frozen, and it starts again.
 */
export type ContainerRedis = {
  port: number
  pause(): Promise<void>
  unpause(): Promise<void>
  stop(): Promise<void>
}

/**
 * @param port on this machine; fixed, so that a test finds it again after a restart
 * @param args of redis-server
 */
export async function startContainerRedis(
  port: number,
  args: readonly string[],
): Promise<ContainerRedis> {
  const { RedisContainer } = await import('@testcontainers/redis')
  const { getContainerRuntimeClient } = await import('testcontainers')
  const container = await new RedisContainer('redis:8-alpine')
    .withExposedPorts({ container: 6379, host: port })
    .withCommand(['redis-server', ...args])
    .start()
  const { container: runtime } = await getContainerRuntimeClient()
  const handle = runtime.getById(container.getId())
  return {
    port: container.getPort(),
    pause: async () => void (await handle.pause()),
    unpause: async () => void (await handle.unpause()),
    stop: async () => void (await container.stop({ timeout: 0 })),
  }
}
