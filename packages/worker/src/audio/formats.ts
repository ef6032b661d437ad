import { open } from 'node:fs/promises'
import { EarshotError } from '@earshot/contract'

/**
 * The demuxers that may look at a file from outside, by ffmpeg's names: containers of sound that
 * hold all of it themselves. Left out are playlists (hls, concat, dash, sdp, rtsp, …) and
 * everything else that opens further files or addresses, as well as pictures, subtitles and raw
 * formats.
 */
export const DEMUXERS = [
  'mov,mp4,m4a,3gp,3g2,mj2',
  'matroska,webm',
  'mp3',
  'aac',
  'ogg',
  'flac',
  'wav',
  'w64',
  'aiff',
  'au',
  'caf',
  'amr',
  'ac3',
  'eac3',
  'dts',
  'asf',
  'avi',
  'flv',
  'mpeg',
  'mpegts',
  'ape',
  'wv',
  'tta',
  'mpc',
  'mpc8',
  'tak',
  'oma',
  'shn',
  'dsf',
  'voc',
  'nut',
  'rm',
  'mxf',
  'dv',
  'gsm',
  'nistsphere',
  'loas',
  'ircam',
  'gxf',
  'wtv',
  'dss',
  'iff',
  'sox',
  'pvf',
  'wve',
  'wsd',
  'truehd',
  'mlp',
  'dtshd',
  'xwma',
  'qcp',
  'smjpeg',
  'avr',
  'sds',
  'aax',
  'aa',
  'mca',
  'amrnb',
  'amrwb',
  'ilbc',
  'rso',
  'ast',
  'mmf',
  'lvf',
  'nsv',
  'ivr',
].join(',')

const PLAYLISTS: Array<[name: string, start: RegExp]> = [
  ['an M3U or HLS playlist', /^#EXT(?:M3U|INF|-X-)/],
  ['an ffmpeg concat list', /^ffconcat version/],
  ['an SDP session description', /^v=0\r?\n(?:[a-z]=[^\n]*\n)*?m=/],
  ['a DASH manifest', /^<(?:\w+:)?MPD[\s>]/],
  [
    'a playlist',
    /^(?:\[playlist\]|\[reference\]|<asx[\s>]|<\?wpl|<smil[\s>]|<(?:playlist|SmoothStreamingMedia)[\s>])/i,
  ],
  ['a list of addresses', /^(?:rtsp|rtp|mms|https?|file|concat|subfile|data):\S+\s*$/im],
]

/**
 * Refuses what only points at other files or addresses, by how it begins; its name counts for
 * nothing.
 *
 * @throws EarshotError EARSHOT_MEDIA_REFUSED, EARSHOT_MEDIA_EMPTY
 * @example
 * await refusePlaylist('/tmp/talk.mp3')
 */
export async function refusePlaylist(file: string): Promise<void> {
  const handle = await open(file)
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(4096), 0, 4096, 0)
    if (bytesRead === 0) throw new EarshotError('EARSHOT_MEDIA_EMPTY', 'The file is empty.')
    const start = skipProlog(buffer.toString('latin1', 0, bytesRead).replace(/^\xef\xbb\xbf/, ''))
    const found = start.includes('\0')
      ? undefined
      : PLAYLISTS.find(([, pattern]) => pattern.test(start))
    if (found !== undefined) throw refused(found[0])
  } finally {
    await handle.close()
  }
}

/** What follows XML declarations and comments. A loop: a pattern for it backtracks without end. */
function skipProlog(text: string): string {
  let at = 0
  for (;;) {
    while (at < text.length && text[at]!.trim() === '') at++
    const declared = text.slice(at, at + 5).toLowerCase() === '<?xml'
    const close = declared ? '>' : text.startsWith('<!--', at) ? '-->' : undefined
    const end = close === undefined ? -1 : text.indexOf(close, at + 4)
    if (close === undefined || end === -1) return text.slice(at)
    at = end + close.length
  }
}

/** The error for what is not media but a pointer to it. */
export function refused(what: string): EarshotError {
  return new EarshotError(
    'EARSHOT_MEDIA_REFUSED',
    `The file is ${what}: it holds no sound but points at other files, which are not opened.`,
    {
      hint: 'Add the recordings themselves.',
    },
  )
}
