// npm start: set-up, then the mesh in one process; arguments go to `earshot up`.
import { dirname, join } from 'node:path'
import { childEnvironment, main } from './child.mjs'
import { foreground } from './foreground.mjs'
import { refuseTakenPort } from './port.mjs'
import { prepare, readYes } from './prepare.mjs'
import { root } from './tool.mjs'

await main(async (args) => {
  const { yes, rest } = readYes(args)
  await refuseTakenPort(rest)
  const node = await prepare({ yes })
  const env = childEnvironment({ path: [dirname(node)] })
  return foreground(node, [join(root, 'packages/cli/bin/earshot.mjs'), 'up', ...rest], {
    env,
    cwd: root,
    outlivesUs: false,
  })
})
