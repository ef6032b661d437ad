/**
 * What is never taken in, and nothing said about it: what other programs write beside or before the
 * real file. The one list; docs/inbox.md repeats it for people.
 */
const IGNORED = [
  /^\./, //                     dotfiles: rsync and Syncthing write beside under such names; .DS_Store, .stfolder, .stversions
  /^~\$/, //                    locks of office programs
  /~$/, //                      backups of editors
  /\.(part|partial|crdownload|opdownload|download|filepart|aria2|ytdl|!ut|!qb|!bt|bc!|tmp|temp|swp|lock)$/i, // downloads and copies under way, and locks
  /\.~[0-9a-f]+(\.|$)/i, //      Nextcloud's copies under way: x.txt.~4ef5a1.txt
  /^(thumbs\.db|desktop\.ini|ehthumbs\.db)$/i, // Windows' own
  /^(@eadir|#recycle|@recycle|#snapshot|@recently-snapshot|\$recycle\.bin|system volume information|lost\+found)$/i, // folders of NAS boxes and file systems
]

/**
 * Whether a path below the inbox is passed over, for its own name or a folder's on the way.
 *
 * @example
 * isIgnored('talks/@eaDir/talk.mp3/SYNO@.jpg') // true
 */
export function isIgnored(path: string): boolean {
  return path.split('/').some((name) => IGNORED.some((pattern) => pattern.test(name)))
}
