// A writer as other programs are: node inbox-writer.mjs FILE MODE. Modes: `grow` appends,
// `allocated` sets the full size first. It writes a piece at every line it gets, and closes at the
// end of its input; it prints `open`, `wrote` and `closed`.
import { closeSync, fsyncSync, ftruncateSync, openSync, writeSync } from 'node:fs'
import { createInterface } from 'node:readline'

const [file, mode] = process.argv.slice(2)
const piece = Buffer.alloc(1000, 'x')
const fd = openSync(file, mode === 'update' ? 'r+' : 'w')
if (mode === 'allocated') ftruncateSync(fd, 10 * piece.length)
console.log('open')
let at = 0
for await (const _ of createInterface({ input: process.stdin })) {
  writeSync(fd, piece, 0, piece.length, at)
  fsyncSync(fd)
  at += piece.length
  console.log('wrote')
}
closeSync(fd)
console.log('closed')
