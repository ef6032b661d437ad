/**
 * pnpm bench: the path of a recording through a mesh (path.ts). pnpm bench mesh: how fast the mesh
 * is beside other queues (speed/main.ts). pnpm bench door: how much later the first token of a chat
 * comes through the mesh (door.ts).
 */
const parts: Record<string, string> = { mesh: './speed/main.ts', openaiApi: './door.ts' }
const named = process.argv[2] ?? ''
const part = named === '' || named.startsWith('-') ? './path.ts' : parts[named]
if (part !== undefined) await import(part)
else {
  process.stderr.write(
    `There is no bench "${named}"; there are: ${Object.keys(parts).join(', ')}, and without a name that of the path.\n`,
  )
  process.exitCode = 2
}
