import { platformName } from '@earshot/shared/platform'
import type { Context } from '../context.ts'
import {
  type Check,
  checkDatabaseHealth,
  checkDisk,
  checkEngines,
  checkGpu,
  checkKey,
  checkNode,
  checkPort,
  checkProgram,
} from '../doctor.ts'
import { checkRedisHealth } from '../doctor-redis.ts'
import { EXIT } from '../exit-code.ts'
import type { Output } from '../output.ts'
import { counted, safe, table } from '../wording.ts'

/** `earshot doctor`: what works on this machine, and the one command that mends what does not. */
export async function run(context: Context): Promise<number> {
  const { output } = context
  const checks: Check[] = [checkNode(context)]
  checks.push(
    await checkDatabaseHealth(context),
    await checkRedisHealth(context),
    await checkPort(context),
    await checkDisk(context),
    await checkKey(context),
  )
  checks.push(
    await checkProgram(context, 'ffmpeg', 'decodes recordings', true),
    ...(await checkEngines(context)),
  )
  if (platformName() === 'linux')
    checks.push(
      await checkProgram(
        context,
        'inotifywait',
        'tells at once when a file in the inbox is whole',
        false,
      ),
    )
  checks.push(await checkGpu())
  const well = checks.every((check) => check.status !== 'missing')
  if (output.json) output.printJson({ ok: well, checks })
  else print(output, checks)
  return well ? EXIT.ok : EXIT.failed
}

function print(output: Output, checks: Check[]): void {
  const paint = {
    ok: output.green,
    warning: output.yellow,
    missing: output.red,
    optional: output.dim,
  }
  for (const line of table(
    ['CHECK', 'STATUS', 'FOUND'],
    checks.map(({ name, status, found }) => [name, paint[status](status), safe(found)]),
  ))
    output.print(line)
  const wrong = checks.filter(({ status }) => status === 'missing' || status === 'warning')
  const fixesOf = (some: Check[]): string[] => [
    ...new Set(some.flatMap(({ fix }) => (fix === null ? [] : [fix]))),
  ]
  output.print()
  if (wrong.length === 0) output.print(output.green('Everything works here.'))
  else output.print(`To mend ${counted(wrong.length, 'thing')}:`)
  for (const fix of fixesOf(wrong)) output.print(`  ${fix}`)
  const more = fixesOf(checks.filter(({ status }) => status === 'optional')).filter(
    (fix) => !fixesOf(wrong).includes(fix),
  )
  if (more.length > 0) output.print('What could be added:')
  for (const fix of more) output.print(`  ${fix}`)
}
