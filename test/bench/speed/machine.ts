import { readFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'

const MODULES = path.resolve(import.meta.dirname, '../node_modules')

/** Where and with what it was measured, in one line. */
export function machineText(server: string): string {
  const version = (name: string) =>
    `${name} ${(JSON.parse(readFileSync(path.join(MODULES, name, 'package.json'), 'utf8')) as { version: string }).version}`
  const load = os
    .loadavg()
    .map((one) => one.toFixed(1))
    .join(', ')
  return [
    `${os.availableParallelism()} cores of ${os.cpus()[0]?.model ?? 'unknown'}`,
    `${Math.round(os.totalmem() / 2 ** 30)} GB`,
    `Node ${process.versions.node}`,
    server,
    version('graphile-worker'),
    version('bullmq'),
    `load average at the end ${load}`,
  ].join(', ')
}
