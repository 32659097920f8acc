import { createHash } from 'node:crypto';

import { ImageError } from '../errors.ts';
import { parseDigest, type Digest } from '../image/digest.ts';

export function digestOf(bytes: Uint8Array): Digest {
  return parseDigest(`sha256:${createHash('sha256').update(bytes).digest('hex')}`);
}

/** @throws ImageError SIZE_MISMATCH, DIGEST_MISMATCH @see docs/rules.md R2 */
export function checkDigest(bytes: Uint8Array, asked: { readonly digest: Digest; readonly size?: number }): void {
  if (asked.size !== undefined && bytes.byteLength !== asked.size) throw sizeMismatch(asked.size, bytes.byteLength);
  const found = digestOf(bytes);
  if (found === asked.digest) return;
  const message = `what came is ${found}, and not ${asked.digest}`;
  throw new ImageError('DIGEST_MISMATCH', message, { asked: asked.digest, found });
}

/** @param found - one more than asked where reading stopped there. */
export function sizeMismatch(asked: number, found: number): ImageError<'SIZE_MISMATCH'> {
  const message = found > asked ? `more than the ${asked} bytes it is to have` : `${found} bytes instead of ${asked}`;
  return new ImageError('SIZE_MISMATCH', message, { asked, found });
}
