import { expect, test } from 'vitest'
import { parseRedisAddress } from '../src/transport/address.ts'

test.each([
  ['redis://box', { mode: 'single', tls: false, hosts: [{ host: 'box', port: 6379 }], db: 0 }],
  ['redis://:s%40cret@127.0.0.1:7000/2', { mode: 'single', tls: false, hosts: [{ host: '127.0.0.1', port: 7000 }], password: 's@cret', db: 2 }],
  ['rediss://ada:pw@[::1]:7000/', { mode: 'single', tls: true, hosts: [{ host: '::1', port: 7000 }], username: 'ada', password: 'pw', db: 0 }],
  ['redis+sentinel://:pw@a,b:26380/my%20set/3', { mode: 'sentinel', tls: false, hosts: [{ host: 'a', port: 26379 }, { host: 'b', port: 26380 }], password: 'pw', master: 'my set', db: 3 }],
  ['rediss+cluster://a:1,b:2', { mode: 'cluster', tls: true, hosts: [{ host: 'a', port: 1 }, { host: 'b', port: 2 }], db: 0 }],
])('%s', (address, read) => {
  expect(parseRedisAddress(address)).toEqual(read)
})

test.each([
  'http://box', 'redis://', 'redis://a,b', 'redis://box:99999', 'redis://box/x', 'redis://box/0/1', 'redis+sentinel://a', 'redis+cluster://a/1', 'redis://:%zz@box', 'redis://a b',
])('%s is none', (address) => {
  expect(parseRedisAddress(address)).toBeUndefined()
})
