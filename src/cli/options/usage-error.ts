import { ImageError } from '../../index.ts';

/** @param option - as the user wrote it: `--jobs`, or `LONGSHORE_JOBS`. */
export function usageError(message: string, option?: string): ImageError<'USAGE'> {
  return new ImageError('USAGE', option === undefined ? message : `${option}: ${message}`, {
    ...(option && { option }),
  });
}
