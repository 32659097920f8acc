import { ImageError, show } from '../../index.ts';

/** @param what - said of the file, after its name. */
export function configError(path: string, what: string, cause?: unknown): ImageError<'CONFIG_INVALID'> {
  return new ImageError(
    'CONFIG_INVALID',
    `"${show(path, 1000)}": ${what}`,
    { path },
    cause === undefined ? {} : { cause },
  );
}
