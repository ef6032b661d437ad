import { expect, test } from 'vitest'
import { adviseOnRedisAddress, parseRedisAddress } from '../src/transport/address.ts'

test.each([
  ['redis://box', { mode: 'single', tls: false, hosts: [{ host: 'box', port: 6379 }], db: 0 }],
  [
    'redis://:s%40cret@127.0.0.1:7000/2',
    {
      mode: 'single',
      tls: false,
      hosts: [{ host: '127.0.0.1', port: 7000 }],
      password: 's@cret',
      db: 2,
    },
  ],
  [
    'rediss://ada:pw@[::1]:7000/',
    {
      mode: 'single',
      tls: true,
      hosts: [{ host: '::1', port: 7000 }],
      username: 'ada',
      password: 'pw',
      db: 0,
    },
  ],
  [
    'redis+sentinel://:pw@a,b:26380/my%20set/3',
    {
      mode: 'sentinel',
      tls: false,
      hosts: [
        { host: 'a', port: 26379 },
        { host: 'b', port: 26380 },
      ],
      password: 'pw',
      master: 'my set',
      db: 3,
    },
  ],
  [
    'rediss+cluster://a:1,b:2',
    {
      mode: 'cluster',
      tls: true,
      hosts: [
        { host: 'a', port: 1 },
        { host: 'b', port: 2 },
      ],
      db: 0,
    },
  ],
])('%s', (address, read) => {
  expect(parseRedisAddress(address)).toEqual(read)
})

test.each([
  ['localhost:6379', 'begins with redis://'],
  ['http://box', 'begins with redis://'],
  ['redis:/box', 'begins with redis://'],
  ['redis://ada:p@ss@box', '%40'],
  ['redis://:p/ss@box:6379', '%2F'],
  ['redis://box:6379?tls=true', 'rediss://'],
  ['redis://a,b', 'redis+cluster://'],
  ['redis+sentinel://a', 'redis+sentinel://host:26379/name'],
  ['redis+cluster://a/1', 'no database but 0'],
  ['redis://box:99999', 'port'],
  ['redis://box:0', 'port'],
  ['redis://:pw@box:/0', 'port'],
  ['redis://', undefined],
  ['redis://box/x', undefined],
  ['redis://box/0/1', undefined],
  ['redis://:%zz@box', '%25'],
  ['redis://a b', undefined],
])('%s is none, and why is told where it can be', (address, why) => {
  expect(parseRedisAddress(address)).toBeUndefined()
  if (why === undefined) expect(adviseOnRedisAddress(address)).toBeUndefined()
  else expect(adviseOnRedisAddress(address)).toContain(why)
})
