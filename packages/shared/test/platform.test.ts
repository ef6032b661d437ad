import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import {
  findHardware,
  freeBytes,
  gpuTag,
  killTree,
  parseNvidiaCsv,
  stopSignals,
  treeOptions,
  which,
} from '@earshot/shared/platform'
import { afterEach, describe, expect, test } from 'vitest'

const folders: string[] = []
afterEach(() => folders.splice(0).forEach((folder) => rmSync(folder, { recursive: true })))

// No GPU where these run: a script of that name answers as the real program does, output and exit
// codes taken from its manual.
function withNvidiaSmi(script: string): { env: NodeJS.ProcessEnv } {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'earshot nvidia '))
  folders.push(folder)
  // Not by naming Node in the first line: that line knows no quoting, and this Node's path may have
  // a space in it.
  writeFileSync(path.join(folder, 'answer.mjs'), script)
  writeFileSync(
    path.join(folder, 'nvidia-smi'),
    `#!/bin/sh\nexec "${process.execPath}" "${path.join(folder, 'answer.mjs')}" "$@"\n`,
  )
  chmodSync(path.join(folder, 'nvidia-smi'), 0o755)
  return { env: { PATH: folder } }
}

describe.skipIf(process.platform === 'win32')('the hardware', () => {
  test('without nvidia-smi has no GPU, and that is no problem', async () => {
    const { tags, gpus, problem } = await findHardware({ env: { PATH: '/nowhere' } })
    expect({ gpus, problem }).toEqual({ gpus: [], problem: null })
    expect(tags).toEqual({
      platform: process.platform === 'darwin' ? 'macos' : process.platform,
      arch: process.arch,
      cores: os.availableParallelism(),
      memory_gb: expect.any(Number),
    })
  })

  test('with a broken driver says what nvidia-smi says', async () => {
    const { gpus, problem } = await findHardware(
      withNvidiaSmi(
        `console.log("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\\n"); process.exit(9)`,
      ),
    )
    expect(gpus).toEqual([])
    expect(problem).toBe(
      "nvidia-smi failed: NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.",
    )
  })

  test('with several GPUs is tagged by the largest', async () => {
    const { tags, gpus } = await findHardware(
      withNvidiaSmi(
        `const asked = process.argv.slice(2).join(' ')
       if (asked !== '--query-gpu=name,memory.total,memory.free --format=csv,noheader,nounits') process.exit(2)
       console.log('NVIDIA GeForce GTX 1050, 4096, 4000\\nNVIDIA GeForce RTX 3060, 12288, 11020')`,
      ),
    )
    expect(gpus.map((gpu) => gpu.freeMb)).toEqual([4000, 11020])
    expect(tags).toMatchObject({
      gpu: 'nvidia-3060',
      gpu_name: 'NVIDIA GeForce RTX 3060',
      vram_gb: 12,
      gpus: 2,
    })
  })
})

test('nvidia-smi lists are read with header, units, unknown memory and Windows line ends', () => {
  expect(
    parseNvidiaCsv(
      'name, memory.total [MiB], memory.free [MiB]\r\nNVIDIA RTX A6000, 49140 MiB, 48000 MiB\r\n',
    ),
  ).toEqual([{ name: 'NVIDIA RTX A6000', memoryMb: 49140, freeMb: 48000 }])
  expect(parseNvidiaCsv('NVIDIA GB10, [N/A], [N/A]\n')).toEqual([
    { name: 'NVIDIA GB10', memoryMb: null, freeMb: null },
  ])
  expect(parseNvidiaCsv('No devices were found\n')).toEqual([])
})

test.each([
  ['NVIDIA GeForce RTX 3060', 'nvidia-3060'],
  ['NVIDIA GeForce RTX 3060 Laptop GPU', 'nvidia-3060-laptop'],
  ['NVIDIA GeForce RTX 4070 Ti SUPER', 'nvidia-4070-ti-super'],
  ['NVIDIA RTX A6000', 'nvidia-rtx-a6000'],
  ['Tesla T4', 'nvidia-t4'],
  ['NVIDIA A100-SXM4-80GB', 'nvidia-a100-sxm4-80gb'],
])('%s is tagged %s', (name, tag) => {
  expect(gpuTag(name)).toBe(tag)
})

test('the signals that stop: no SIGTERM on Windows, no SIGHUP elsewhere, where nohup relies on it', () => {
  expect(stopSignals('win32')).toEqual(['SIGINT', 'SIGBREAK', 'SIGHUP'])
  expect(stopSignals('linux')).toEqual(['SIGINT', 'SIGTERM'])
})

test.skipIf(process.platform === 'win32')(
  'a program is looked for on the path given, folders and unreadable files passed over',
  async () => {
    const { env } = withNvidiaSmi('')
    expect(await which('nvidia-smi', `/nowhere:${env.PATH}`)).toBe(
      path.join(env.PATH ?? '', 'nvidia-smi'),
    )
    expect(await which('nvidia-smi', '')).toBeNull()
  },
)

test('a killed tree takes what the child started with it', async () => {
  const grandchild = `setInterval(() => {}, 1000); process.stdout.write(String(process.pid))`
  const child = spawn(
    process.execPath,
    [
      '-e',
      `require('child_process').spawn(process.execPath, ['-e', ${JSON.stringify(grandchild)}], { stdio: 'inherit' })`,
    ],
    { ...treeOptions(), stdio: ['ignore', 'pipe', 'inherit'] },
  )
  await once(child.stdout, 'data')
  killTree(child)
  // The pipe closes only when both have let go of it: were the grandchild alive, this would wait
  // forever.
  expect(await once(child, 'close')).toEqual([null, 'SIGKILL'])
  expect(() => killTree(child)).not.toThrow()
})

test('free space is told for a folder, and a missing one is an error', async () => {
  expect(await freeBytes(os.tmpdir())).toBeGreaterThan(0)
  await expect(freeBytes('/nowhere/at/all')).rejects.toThrow('ENOENT')
})
