import { ImageError } from '../../index.ts';
import { systemFailure } from '../../system/errno.ts';
import { reasonOf } from './reason.ts';

/** @param output - what could not be written, such as `the standard output`. */
export function outputFailed(output: string, cause: unknown): ImageError<'OUTPUT_FAILED'> {
  const failure = systemFailure(cause) ?? (cause instanceof Error ? systemFailure(cause.cause) : undefined);
  const reason = failure?.errno ?? reasonOf(cause);
  const message = `${output} could not be written: ${failure?.what ?? reason}`;
  return new ImageError('OUTPUT_FAILED', message, { output, reason }, { cause });
}
