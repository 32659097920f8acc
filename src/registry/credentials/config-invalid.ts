import { ImageError } from '../../errors.ts';
import { show } from '../../image/show.ts';

/** @param what - said of the file, after its name. */
export function configInvalid(path: string, what: string, cause?: unknown): ImageError<'CONFIG_INVALID'> {
  return new ImageError('CONFIG_INVALID', `"${show(path, 1000)}": ${what}`, { path }, { cause });
}
