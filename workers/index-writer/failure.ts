import { isImageError, toErrorData } from '../../src/errors.ts';
import { errnoOf } from '../../src/system/errno.ts';
import type { Failure } from './protocol.ts';

export function toFailure(error: unknown): Failure {
  if (!(error instanceof Error)) return { message: String(error) };
  const errno = errnoOf(error);
  return {
    message: error.message,
    ...(error.stack !== undefined && { stack: error.stack }),
    ...(isImageError(error) && { known: toErrorData(error) }),
    ...(errno !== undefined && { code: errno }),
    ...('path' in error && typeof error.path === 'string' && { path: error.path }),
    ...('errcode' in error && typeof error.errcode === 'number' && { errcode: error.errcode }),
  };
}
