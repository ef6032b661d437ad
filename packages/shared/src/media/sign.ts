import { createHmac, timingSafeEqual } from 'node:crypto'
import { EarshotError, MediaHash } from '@earshot/contract'

/**
 * How far the clocks of two boxes may be apart before a signed address is taken for expired, in
 * seconds.
 */
export const CLOCK_SKEW_S = 300

/**
 * Signs access to one media file until a moment: HMAC-SHA256 (RFC 2104) over `hash.expires`, in
 * hex. `expires` is in whole seconds since 1970.
 *
 * @example
 * const signature = signMedia(secret, hash, Math.floor(Date.now() / 1000) + 3600)
 */
export function signMedia(secret: string, hash: string, expires: number): string {
  return createHmac('sha256', secret).update(`${hash}.${expires}`).digest('hex')
}

/**
 * The path and query under which a coordinator serves a media file for `ttlS` seconds.
 *
 * @example
 * mediaPath(secret, hash, 3600) // '/v1/media/9f86…?expires=1790000000&signature=5c1d…'
 */
export function mediaPath(secret: string, hash: string, ttlS: number, now = Date.now()): string {
  const expires = Math.ceil(now / 1000) + ttlS
  return signedMediaPath(hash, { expires, signature: signMedia(secret, hash, expires) })
}

/** As mediaPath, for a signature that the database made: workers never see the secret. */
export function signedMediaPath(
  hash: string,
  { expires, signature }: { expires: number; signature: string },
): string {
  return `/v1/media/${hash}?expires=${expires}&signature=${signature}`
}

/**
 * Checks what came with a request for a media file, in constant time, allowing {@link CLOCK_SKEW_S}
 * of skew. Throws EARSHOT_BAD_SIGNATURE.
 *
 * @example
 * verifyMedia(secret, { hash, expires: query.expires, signature: query.signature })
 */
export function verifyMedia(
  secret: string,
  asked: { hash: string; expires: string | number; signature: string },
  now = Date.now(),
): void {
  const expires = Number(asked.expires)
  const wellFormed = MediaHash.safeParse(asked.hash).success && Number.isSafeInteger(expires)
  if (!wellFormed || !equal(signMedia(secret, asked.hash, expires), asked.signature)) {
    throw new EarshotError('EARSHOT_BAD_SIGNATURE', 'The signature of this media address is wrong.')
  }
  if (now / 1000 > expires + CLOCK_SKEW_S) {
    throw new EarshotError(
      'EARSHOT_BAD_SIGNATURE',
      `This media address expired at ${new Date(expires * 1000).toISOString()}.`,
      {
        hint: 'Ask for the job again to get a fresh address; if it is fresh, the clocks of the two boxes are more than five minutes apart.',
      },
    )
  }
}

/**
 * Both sides are hashed first, so that neither their length nor their content shows in the time
 * this takes.
 */
function equal(right: string, given: string): boolean {
  const digest = (text: string) => createHmac('sha256', 'equal').update(text).digest()
  return timingSafeEqual(digest(right), digest(given))
}
