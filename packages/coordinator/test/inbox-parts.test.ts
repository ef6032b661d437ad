import { describe, expect, test } from 'vitest'
import { isIgnored } from '../src/inbox/ignored.ts'
import { isRemote, parseMounts } from '../src/inbox/mounts.ts'
import { decodeName, escapeName } from '../src/inbox/names.ts'
import { createQueue } from '../src/inbox/queue.ts'
import { createParser } from '../src/inbox/watch-inotify.ts'

describe('what inotifywait prints', () => {
  function parse(bytes: Buffer, size: number) {
    const told: string[] = []
    const events = {
      ready: () => void told.push('ready'),
      file: (path: string, proof: string) => void told.push(`file ${path} ${proof}`),
      folder: (path: string, proof: string) => void told.push(`folder ${path} ${proof}`),
      removed: (path: string, sure: boolean) => void told.push(`removed ${path} ${sure}`),
      missed: (why: string) => void told.push(`missed ${why}`),
    }
    const parser = createParser('/in box', events, () => told.push('root gone'))
    for (let at = 0; at < bytes.length; at += size) parser(bytes.subarray(at, at + size))
    return told
  }

  test.each([1, 2, 3, 7, 1000])(
    'is understood in pieces of %d bytes, whatever the names hold',
    (size) => {
      const printed = Buffer.concat([
        Buffer.from(
          'CREATE\0/in box/a\nb "$(x)".wav\0CLOSE_WRITE,CLOSE\0/in box/a\nb "$(x)".wav\0',
        ),
        Buffer.from('MOVED_TO,ISDIR\0/in box/sub\0CREATE\0/in box/sub/'),
        Buffer.from([0xff, 0xfe]),
        Buffer.from('\0'),
        Buffer.from(
          'CREATE\0/in box/.hidden\0Q_OVERFLOW\0\0DELETE\0/in box/🎙️\0DELETE,ISDIR\0/in box/sub\0DELETE_SELF\0/in box/sub/\0DELETE_SELF\0/in box/\0',
        ),
      ])
      expect(parse(printed, size)).toEqual([
        'file a\nb "$(x)".wav created',
        'file a\nb "$(x)".wav closed',
        'folder sub closed',
        'folder sub seen',
        'missed more happened in the inbox than the kernel keeps in mind',
        'removed 🎙️ true',
        'removed sub false',
        'root gone',
      ])
    },
  )
})

describe('mounts', () => {
  const mounts = parseMounts(
    [
      '27 1 254:0 / / rw,relatime - ext4 /dev/vda rw',
      '30 27 0:40 / /mnt/my\\040nas rw shared:1 - cifs //nas/share rw',
      '31 27 0:41 / /home/ada/sshfs rw - fuse.sshfs ada@box: rw',
      '32 27 8:1 / /media/ntfs rw - fuseblk /dev/sda1 rw',
      '33 27 0:42 / /srv rw - nfs4 nas:/ rw',
      '34 33 0:43 / /srv/local rw - ext4 /dev/sdb rw',
      '35 27 0:44 / /twice rw - nfs a:/ rw',
      '36 35 0:45 / /twice rw - xfs /dev/sdc rw',
      '',
    ].join('\n'),
  )

  test.each([
    ['/home/ada/inbox', false],
    ['/mnt/my nas/inbox', true],
    ['/mnt/my nasty/inbox', false],
    ['/home/ada/sshfs', true],
    ['/media/ntfs/inbox', false],
    ['/srv/inbox', true],
    ['/srv/local/inbox', false],
    ['/twice/x', false],
  ])('%s is on a network mount: %s', (path, remote) => {
    expect(isRemote(mounts, path)).toBe(remote)
  })
})

test('names that are no UTF-8 are escaped where they are wrong, and only there', () => {
  expect(decodeName(Buffer.from('é🎙️\n'))).toBe('é🎙️\n')
  expect(decodeName(Buffer.from([0x61, 0xe9]))).toBeNull()
  expect(
    escapeName(Buffer.concat([Buffer.from('é'), Buffer.from([0xff, 0xe9]), Buffer.from('🎙.wav')])),
  ).toBe('é\\xff\\xe9🎙.wav')
})

test('names of half-written and foreign files are passed over, others are not', () => {
  const passed = [
    '.x',
    'a/.x/b',
    '~$a.docx',
    'a.part',
    'A.CRDOWNLOAD',
    'a.tmp',
    'thumbs.DB',
    'x/@eaDir/y',
    'a~',
  ]
  const taken = ['a.parted', 'apart', 'tmp', 'a.tmp.wav', '$(x)', 'x/partial/y', 'part']
  expect(passed.filter((path) => !isIgnored(path))).toEqual([])
  expect(taken.filter(isIgnored)).toEqual([])
})

describe('the queue', () => {
  test('keeps a place free of heavy work, and order otherwise', async () => {
    const started: string[] = []
    const ends = new Map<string, () => void>()
    const queue = createQueue(2, (error) => {
      throw error
    })
    const work = (name: string, heavy: boolean) =>
      queue.add(
        () => new Promise((resolve) => (started.push(name), ends.set(name, resolve))),
        heavy,
      )
    for (const name of ['H1', 'H2', 'l1', 'l2']) work(name, name.startsWith('H'))
    expect(started).toEqual(['H1', 'l1'])
    ends.get('l1')!()
    await new Promise(setImmediate)
    ends.get('H1')!()
    await new Promise(setImmediate)
    expect(started).toEqual(['H1', 'l1', 'l2', 'H2'])
    ends.get('l2')!()
    ends.get('H2')!()
    await queue.idle()
  })

  test('goes on after work that throws', async () => {
    const errors: unknown[] = []
    const queue = createQueue(1, (error) => errors.push(error))
    const done: number[] = []
    for (let i = 0; i < 3000; i++)
      queue.add(async () => {
        if (i === 1) throw new Error('one')
        done.push(i)
      })
    await queue.idle()
    expect(errors).toHaveLength(1)
    expect(done).toEqual([...Array(3000).keys()].filter((i) => i !== 1))
  })
})
