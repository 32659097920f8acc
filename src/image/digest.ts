import { ImageError } from '../errors.ts';
import { show } from './show.ts';

declare const brand: unique symbol;
/** `sha256:` and 64 lower-case hex digits: the hash of bytes as transferred. @see docs/rules.md R3 */
export type Digest = string & { readonly [brand]: 'Digest' };

const whole = /^sha256:[0-9a-f]{64}$/;

export function isDigest(text: string): text is Digest {
  return whole.test(text);
}

/** @throws REFERENCE_INVALID for every other algorithm or form. */
export function parseDigest(text: string): Digest {
  if (!isDigest(text)) {
    const message = `unsupported digest "${show(text)}": expected sha256: and 64 lower-case hex digits`;
    throw new ImageError('REFERENCE_INVALID', message, { input: show(text) });
  }
  return text;
}

/** File names in `blobs/sha512`, and in `blobs/sha256`. */
export const imageBlobName = /^[0-9a-f]{128}$/;
export const registryBlobName = /^[0-9a-f]{64}$/;
