/** pnpm bench: the path of a recording through a mesh (path.ts). pnpm bench mesh: how fast the mesh is beside other queues (speed/main.ts). */
await import(process.argv[2] === 'mesh' ? './speed/main.ts' : './path.ts')
