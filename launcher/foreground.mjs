// Hands the terminal to a child: signals and exit code pass through, each signal once.
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { constants } from 'node:os'

/**
 * Ctrl-C reaches a process twice when the terminal signals it and npm forwards the same to it;
 * never this fast by hand.
 */
const SAME_KEYPRESS_MS = 250
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2', 'SIGWINCH']

/**
 * Runs a program in the foreground until it ends.
 *
 * On POSIX the child gets its own process group, so that the terminal's Ctrl-C reaches this process
 * only, and is passed on exactly once: the second Ctrl-C means something else to `earshot up` than
 * the first. Windows has no such groups without opening a window; there the console itself signals
 * the child.
 *
 * @param {string} program
 * @param {string[]} args
 * @param {{ env?: Record<string, string | undefined>, cwd?: string, sameKeypressMs?: number,
 *   outlivesUs?: boolean }} [options] outlivesUs: false tells the child when this process is
 *   killed, by a channel that closes; it must know what to do then
 * @returns {Promise<number>} the exit code; 128 + the signal's number when a signal ended the child
 */
export function foreground(
  program,
  args,
  { env = process.env, cwd, sameKeypressMs = SAME_KEYPRESS_MS, outlivesUs = true } = {},
) {
  const groups = process.platform !== 'win32'
  const child = spawn(program, args, {
    cwd,
    env,
    stdio: outlivesUs ? 'inherit' : ['inherit', 'inherit', 'inherit', 'ipc'],
    detached: groups,
  })
  const stopWatching = outlivesUs ? () => {} : watchNpm(() => child.kill('SIGTERM'))
  const last = new Map()
  const pass = (signal) => {
    const now = Date.now()
    if (now - (last.get(signal) ?? -Infinity) < sameKeypressMs) return
    last.set(signal, now)
    if (groups) child.kill(signal)
  }
  for (const signal of groups ? SIGNALS : ['SIGINT', 'SIGTERM']) process.on(signal, pass)
  return new Promise((resolve, reject) => {
    const off = () => {
      stopWatching()
      SIGNALS.forEach((signal) => process.off(signal, pass))
    }
    child.on('error', (error) => {
      off()
      reject(error)
    })
    child.on('close', (code, signal) => {
      off()
      resolve(code ?? 128 + constants.signals[signal])
    })
  })
}

/**
 * npm and npx, killed with -9, leave what they started running: their end is noticed by their
 * number.
 *
 * @param {() => void} onEnd
 * @returns {() => void} ends the watch
 */
export function watchNpm(onEnd) {
  if (process.env.npm_lifecycle_event === undefined && process.env.npm_command === undefined)
    return () => {}
  const above = ancestors()
  const timer = setInterval(() => {
    if (ancestors().join() === above.join()) return
    clearInterval(timer)
    onEnd()
  }, 1_000)
  timer.unref()
  return () => clearInterval(timer)
}

/**
 * This process's parent, and the parent's where it is the shell that npm starts between. What
 * stands above npm does not count: a terminal may close while `nohup npx` goes on.
 */
function ancestors() {
  const parent = process.ppid
  try {
    // After the number the program's name in brackets, which may itself hold blanks and brackets.
    const stat = readFileSync(`/proc/${parent}/stat`, 'utf8')
    if (!/^\d+ \((da|ba|a)?sh\) /.test(stat)) return [parent]
    return [parent, Number(stat.split(') ').at(-1)?.split(' ')[1])]
  } catch {
    // Not Linux, or it has just ended.
    return [parent]
  }
}
