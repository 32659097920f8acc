import { ImageError } from '../errors.ts';
import { show } from './show.ts';

declare const brand: unique symbol;
/**
 * `sha512-` and 128 lower-case hex digits: the hash of the uncompressed tar. @see appc 0.8.11, spec/types.md, Image ID
 * Type
 */
export type ImageId = string & { readonly [brand]: 'ImageId' };

const whole = /^sha512-[0-9a-f]{128}$/;

export function isImageId(text: string): text is ImageId {
  return whole.test(text);
}

/** @throws REFERENCE_INVALID unless it is a complete image ID. Hex digits may be upper case. */
export function parseImageId(text: string): ImageId {
  const lower = text.toLowerCase();
  if (!isImageId(lower)) {
    throw new ImageError('REFERENCE_INVALID', 'not an image ID: expected sha512- and 128 hex digits', {
      input: show(text),
    });
  }
  return lower;
}

/**
 * Parses an image ID or its first digits. Hex digits may be upper case.
 *
 * @returns `sha512-` and 2 to 128 lower-case hex digits.
 * @throws ID_TOO_SHORT below two digits; REFERENCE_INVALID
 */
export function parseImageIdPrefix(text: string): string {
  return parseHashPrefix(text, { scheme: 'sha512-', digits: 128, what: 'an image ID' });
}

type HashForm = { readonly scheme: 'sha512-' | 'sha256:'; readonly digits: number; readonly what: string };

/** The same for any hash. @param what - is called so in messages. */
export function parseHashPrefix(text: string, { scheme, digits, what }: HashForm): string {
  const lower = text.toLowerCase();
  const rest = lower.startsWith(scheme) ? lower.slice(scheme.length) : undefined;
  if (rest === undefined || rest.length > digits || !/^[0-9a-f]*$/.test(rest)) {
    const message = `not ${what}: expected ${scheme} and 2 to ${digits} hex digits`;
    throw new ImageError('REFERENCE_INVALID', message, { input: show(text) });
  }
  if (rest.length < 2) {
    const message = `too short for ${what}: expected ${scheme} and at least 2 hex digits`;
    throw new ImageError('ID_TOO_SHORT', message, { asked: lower });
  }
  return lower;
}

/** `sha512-` and the first 32 hex digits, for display. */
export function shortImageId(imageId: ImageId): string {
  return imageId.slice(0, 39);
}

/** The short form of an image ID. A digest is not shortened, since other tools accept only complete ones. */
export function shortId(id: string): string {
  return isImageId(id) ? shortImageId(id) : id;
}
