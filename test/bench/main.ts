/**
 * pnpm bench: the path of a recording through a mesh (path.ts). pnpm bench mesh: how fast the mesh is beside other queues (speed/main.ts).
 * pnpm bench door: how much later the first token of a chat comes through the mesh (door.ts).
 */
const parts: Record<string, string> = { mesh: './speed/main.ts', door: './door.ts' }
await import(parts[process.argv[2] ?? ''] ?? './path.ts')
