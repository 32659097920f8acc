import { ImageError } from '../errors.ts';
import { show } from '../image/show.ts';

const prefix = /^sha256:[0-9a-f]{0,64}$/;

/**
 * The first digits of a digest, or all of them. Hex digits may be upper case.
 *
 * @returns `sha256:` and 2 to 64 lower-case hex digits.
 * @throws ID_TOO_SHORT below two digits; REFERENCE_INVALID
 */
export function parseDigestPrefix(text: string): string {
  const lower = text.toLowerCase();
  if (!prefix.test(lower)) {
    const message = 'not a digest: want sha256: and 2 to 64 hex digits';
    throw new ImageError('REFERENCE_INVALID', message, { input: show(text) });
  }
  if (lower.length < 'sha256:'.length + 2) {
    throw new ImageError('ID_TOO_SHORT', 'too short for a digest: want sha256: and at least 2 hex digits', {
      asked: lower,
    });
  }
  return lower;
}
