// One launcher at a time works on a folder; the others wait for it and then find the work done.
import { mkdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { say } from './child.mjs'

const BEAT_MS = 2_000
/**
 * A live holder beats every 2 s; this long without is another process under a dead holder's number.
 */
const SILENT_MS = 30_000

/**
 * Runs `work` while holding the lock file; waits for anyone who holds it, and takes it over from
 * one that died.
 *
 * @template T
 * @param {string} file
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withLock(file, work) {
  mkdirSync(dirname(file), { recursive: true })
  await acquire(file)
  const beat = setInterval(() => touch(file), BEAT_MS)
  const release = () => rmSync(file, { force: true })
  process.on('exit', release)
  try {
    return await work()
  } finally {
    clearInterval(beat)
    process.off('exit', release)
    release()
  }
}

async function acquire(file) {
  for (let told = false; !create(file); told = true) {
    if (isDead(file)) {
      takeOver(file)
      continue
    }
    if (!told) say('another launcher is setting this folder up; waiting for it …')
    await sleep(200)
  }
}

function create(file) {
  try {
    writeFileSync(file, String(process.pid), { flag: 'wx' })
    return true
  } catch (error) {
    if (error.code === 'EEXIST') return false
    throw error
  }
}

/**
 * Removes a dead holder's lock. Its own small lock keeps two who saw the same dead holder from
 * removing a new one's.
 */
function takeOver(file) {
  const guard = `${file}.takeover`
  if (!create(guard)) {
    // Held for microseconds only: an old one belongs to a process killed within them.
    if (ageMs(guard) > 5_000) rmSync(guard, { force: true })
    return
  }
  try {
    if (isDead(file)) rmSync(file, { force: true })
  } finally {
    rmSync(guard, { force: true })
  }
}

function isDead(file) {
  const age = ageMs(file)
  if (age === undefined) return false
  const pid = Number(readText(file))
  // An empty file is one being written this moment; an old empty one was cut off there.
  if (!Number.isInteger(pid) || pid <= 0) return age > 1_000
  return !isAlive(pid) || age > SILENT_MS
}

function isAlive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

function ageMs(file) {
  const found = statSync(file, { throwIfNoEntry: false })
  return found === undefined ? undefined : Date.now() - found.mtimeMs
}

function readText(file) {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (error.code === 'ENOENT') return ''
    throw error
  }
}

function touch(file) {
  const now = new Date()
  try {
    utimesSync(file, now, now)
  } catch (error) {
    // Someone removed .tools under us: the work itself will say so.
    if (error.code !== 'ENOENT') throw error
  }
}
