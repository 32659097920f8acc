import { isImageError } from '../errors.ts';

/** The name of a system error, such as `ENOENT`. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || isImageError(error)) return undefined;
  return 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** Whether nothing is there under the path that was asked for. */
export function isNoEntry(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '');
}
