// Whether the port that `npm start` will want is taken: told before minutes of set-up, not after.
import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { LauncherError } from './child.mjs'
import { root } from './tool.mjs'

/** Refuses a port that someone listens on. Does nothing where a settings file may name another port. */
export async function refuseTakenPort(args) {
  const port = portOf(args)
  if (port === undefined || port === 0 || !(await isTaken(port))) return
  throw new LauncherError(
    `Port ${port} of this machine is taken, perhaps by a mesh from another folder. Stop that program, or start with another port:  npm start -- --port ${port + 1}`,
  )
}

function portOf(args) {
  const at = args.findIndex((arg) => arg === '--port' || arg.startsWith('--port='))
  if (at >= 0) return Number(args[at].split('=')[1] ?? args[at + 1])
  if (process.env.EARSHOT_PORT) return Number(process.env.EARSHOT_PORT)
  return ['.env', 'config.yaml'].some((name) => existsSync(join(root, name))) ? undefined : 7700
}

function isTaken(port) {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' })
    const done = (taken) => {
      socket.destroy()
      resolve(taken)
    }
    socket.setTimeout(1_000, () => done(false))
    socket.on('connect', () => done(true))
    socket.on('error', () => done(false))
  })
}
