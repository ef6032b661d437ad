import { mkdir, readdir, symlink, utimes, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { expect, test } from 'vitest'
import { inFolder, removeOldFolders } from '../src/process/scratch.ts'
import { tempFolder } from './helpers/media.ts'

const root = await tempFolder()

test("folders of processes that were killed are removed once they are old; nobody else's, and none in use", async () => {
  const old = new Date(Date.now() - 2 * 24 * 3600_000)
  for (const name of [
    'earshot-speak-aB3xYz',
    'earshot-probe-000000',
    'earshot-speak-fresh1',
    'earshot-db-aB3xYz',
    'earshot-speak-too-long',
    'other',
  ]) {
    await mkdir(path.join(root, name))
    await writeFile(path.join(root, name, 'text.txt'), 'x')
    if (!name.endsWith('fresh1')) await utimes(path.join(root, name), old, old)
  }
  await symlink(path.join(root, 'other'), path.join(root, 'earshot-speak-linked'))
  await removeOldFolders(root)
  expect((await readdir(root)).toSorted()).toEqual([
    'earshot-db-aB3xYz',
    'earshot-speak-fresh1',
    'earshot-speak-linked',
    'earshot-speak-too-long',
    'other',
  ])
  await removeOldFolders(path.join(root, 'nowhere'))
})

test('a folder is made as those are named that are removed', async () => {
  expect(await inFolder('speak', async (dir) => path.basename(dir))).toMatch(
    /^earshot-speak-\w{6}$/,
  )
})
