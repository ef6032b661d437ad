import type { Surroundings } from '../surroundings.ts'

export type Screen = {
  /** Draws what the function makes for the terminal's size. */
  draw(picture: (width: number, height: number) => string[]): void
  onResize(listener: () => void): void
  /** Gives the terminal back as it was. */
  close(): void
}

// Control sequences of ECMA-48, and xterm's for the second screen.
const SECOND_SCREEN = '\u001b[?1049h\u001b[?25l'
const FIRST_SCREEN = '\u001b[?25h\u001b[?1049l'
const HOME = '\u001b[H'
const CLEAR_LINE = '\u001b[K'
const CLEAR_BELOW = '\u001b[J'

/**
 * Takes over the terminal: a second screen without a cursor, keys without Enter. Nothing when there
 * is none.
 *
 * @param onLeave called when q, Escape or Ctrl-C is pressed
 */
export function openScreen(
  { stdin, stdout }: Surroundings,
  onLeave: () => void,
): Screen | undefined {
  if (stdout.isTTY !== true || stdin?.isTTY !== true) return undefined
  const resized: (() => void)[] = []
  const hear = (keys: Buffer | string): void => {
    if (/^[qQ\u0003\u001b]$/.test(String(keys))) onLeave()
  }
  const resize = (): void => resized.forEach((listener) => listener())
  stdin.setRawMode(true)
  stdin.resume()
  stdin.on('data', hear)
  stdout.on?.('resize', resize)
  stdout.write(SECOND_SCREEN)
  return {
    draw(picture) {
      const lines = picture(stdout.columns ?? 80, stdout.rows ?? 24)
      // Written over what is there, in one go: clearing first would flicker. No line break after
      // the last, or the screen would roll.
      stdout.write(
        `${HOME}${lines.map((line) => `${line}${CLEAR_LINE}`).join('\r\n')}${CLEAR_BELOW}`,
      )
    },
    onResize: (listener) => void resized.push(listener),
    close() {
      stdout.off?.('resize', resize)
      stdin.off('data', hear)
      stdin.setRawMode(false)
      stdin.pause()
      stdout.write(FIRST_SCREEN)
    },
  }
}
