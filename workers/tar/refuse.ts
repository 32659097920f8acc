import { ImageError } from '../../src/errors.ts';
import { show } from '../../src/image/show.ts';

/**
 * The entry that an error is about: its path as latin1 text, one character for each byte, and the offset of its header
 * in the tar.
 */
export type Suspect = { readonly path?: string; readonly offset?: number };

/** @param rule - its number in docs/rules.md. @param what - describes what was found. */
export function invalid(rule: string, what: string, { path, offset }: Suspect = {}): ImageError<'ARCHIVE_INVALID'> {
  const entry = path === undefined ? undefined : show(Buffer.from(path, 'latin1').toString('utf8'));
  const where = [
    ...(entry === undefined ? [] : [`entry ${entry}`]),
    ...(offset === undefined ? [] : [`byte ${offset}`]),
  ];
  const message = `not a valid image archive: ${what}${where.length > 0 ? ` (${where.join(', ')})` : ''}`;
  return new ImageError('ARCHIVE_INVALID', message, {
    rule,
    ...(entry !== undefined && { entry }),
    ...(offset !== undefined && { offset }),
  });
}

/** @param limit - its name on the command line. @param what - describes what exceeds it. */
export function overLimit(limit: string, maximum: number, what: string): ImageError<'LIMIT_EXCEEDED'> {
  return new ImageError('LIMIT_EXCEEDED', `${what}; the limit is ${maximum}`, {
    limit,
    maximum,
  });
}
