// npm run setup: all set-up, nothing started.
import { LauncherError, main, say } from './child.mjs'
import { prepare, readYes } from './prepare.mjs'

await main(async (args) => {
  const { yes, rest } = readYes(args)
  if (rest.length > 0)
    throw new LauncherError(
      `setup knows no ${rest.join(' ')}; it takes --yes alone:  npm run setup -- --yes`,
    )
  await prepare({ yes, retry: true })
  say('ready: start with  npm start')
  return 0
})
