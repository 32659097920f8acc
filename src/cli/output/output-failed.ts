import { getSystemErrorMap } from 'node:util';

import { ImageError } from '../../index.ts';
import { errnoOf } from '../../system/errno.ts';
import { reasonOf } from './reason.ts';

/** @param output - what could not be written, such as `the standard output`. */
export function outputFailed(output: string, cause: unknown): ImageError<'OUTPUT_FAILED'> {
  const errno = errnoOf(cause) ?? (cause instanceof Error ? errnoOf(cause.cause) : undefined);
  const reason = errno ?? reasonOf(cause);
  const [, text] =
    getSystemErrorMap()
      .values()
      .find(([name]) => name === errno) ?? [];
  const message = `${output} could not be written: ${text === undefined ? reason : `${text} (${reason})`}`;
  return new ImageError('OUTPUT_FAILED', message, { output, reason }, { cause });
}
