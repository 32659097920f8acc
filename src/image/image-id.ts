import { ImageError } from '../errors.ts';

declare const brand: unique symbol;
/** `sha512-` and the 128 lower-case hex digits of the uncompressed tar's hash. @see appc 1.5 */
export type ImageId = string & { readonly [brand]: 'ImageId' };

const whole = /^sha512-[0-9a-f]{128}$/;

export function isImageId(text: string): text is ImageId {
  return whole.test(text);
}

/** @throws REFERENCE_INVALID unless it is a whole image ID. Hex digits may be upper case. */
export function parseImageId(text: string): ImageId {
  const lower = text.toLowerCase();
  if (!isImageId(lower)) {
    throw new ImageError('REFERENCE_INVALID', 'not an image ID: want sha512- and 128 hex digits', { input: text });
  }
  return lower;
}

/** `sha512-` and the first 32 hex digits: what people are shown. */
export function shortImageId(imageId: ImageId): string {
  return imageId.slice(0, 39);
}
