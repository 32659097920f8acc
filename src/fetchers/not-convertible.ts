import { ImageError, isImageError, type ErrorCode } from '../errors.ts';

/** What an image is refused for; anything else is about the machine, or about what was asked. */
const refusals: ReadonlySet<ErrorCode> = new Set([
  'ARCHIVE_INVALID',
  'ARCHIVE_UNREADABLE',
  'DIGEST_MISMATCH',
  'LIMIT_EXCEEDED',
  'MANIFEST_INVALID',
  'NAME_INVALID',
  'PLATFORM_MISSING',
]);

/** The failure of a conversion, with what can be done with an image that is only refused by that. */
export function notConvertible(error: unknown): unknown {
  if (!isImageError(error) || !refusals.has(error.code)) return error;
  const message = `${error.message}; it can be kept as it is, with --keep=oci`;
  return new ImageError(error.code, message, { ...error.details, keep: 'oci' }, { cause: error.cause });
}
