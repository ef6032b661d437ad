// An inbox in a process of its own, for tests of what one process cannot do to itself: node
// inbox-child.ts DIR [WATCHER|-] [UID]. Prints what the store is told and what is logged, a JSON
// line each, and `{"ready":true}` once it watches.
import { createLog } from '@earshot/shared/log'
import { createInbox } from '../src/inbox/inbox.ts'
import { WATCHERS } from '../src/inbox/watcher.ts'
import { createMemoryStore } from './inbox-memory.ts'

const [dir, wanted, uid] = process.argv.slice(2)
// Only once everything is loaded: the user may have no way into this folder.
if (uid !== undefined) {
  process.chdir('/')
  process.setgroups!([])
  process.setgid!(Number(uid))
  process.setuid!(Number(uid))
}
const memory = createMemoryStore()
const print = (what: object) => process.stdout.write(`${JSON.stringify(what)}\n`)
const log = createLog({ level: 'info', human: false, destination: process.stdout })
const inbox = createInbox({
  dir: dir!,
  store: memory.store,
  log,
  settleS: 0.3,
  checkS: 0.1,
  pollS: 0.1,
  rescanS: 0.5,
  watcher: WATCHERS.find((name) => name === wanted),
})
await inbox.start()
print({ ready: true })
let seen = 0
for (;;) {
  const told = await memory.until(() => memory.told[seen], 2 ** 31 - 1)
  seen++
  print({
    did: told.did,
    path: told.path,
    sentence: told.did === 'refuse' ? told.file.sentence : undefined,
  })
}
