// npm run setup: all set-up, nothing started.
import { main, say } from './child.mjs'
import { prepare, readYes } from './prepare.mjs'

await main(async (args) => {
  const { yes } = readYes(args)
  await prepare({ yes, retry: true })
  say('ready: start with  npm start')
  return 0
})
