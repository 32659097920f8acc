import { show, showReference, showUrlsIn, ImageError } from '../../index.ts';
import { adviceFor } from './advice.ts';
import { systemFailure } from '../../system/errno.ts';

const maxMessage = 1000;

/**
 * One line: what was asked, the code, what happened, what to do next.
 *
 * @param reference - absent when no image is to blame.
 */
export function errorLine(error: ImageError, reference?: string): string {
  const asked = reference === undefined ? '' : `${showReference(reference).trim() || '""'}: `;
  return `error: ${asked}${error.code}: ${show(error.message, maxMessage)}. ${adviceFor(error, reference)}.`;
}

/** A line for each of several failures. */
export function errorLines(
  failures: readonly { readonly asked: string | undefined; readonly error: ImageError }[],
): string {
  return failures.map(({ asked, error }) => `${errorLine(error, asked)}\n`).join('');
}

/** The causes behind an error, outermost first, one line each: for `--debug`. */
export function causeLines(error: unknown): readonly string[] {
  const lines: string[] = [];
  let cause = error instanceof Error ? error.cause : undefined;
  for (let depth = 1; cause !== undefined && depth <= 16; depth += 1) {
    const { text, next } = describe(cause);
    lines.push(`${'  '.repeat(depth)}└─ ${show(showUrlsIn(text), maxMessage)}`);
    cause = next;
  }
  return lines;
}

function describe(cause: unknown): { readonly text: string; readonly next: unknown } {
  if (!(cause instanceof Error)) return { text: String(cause), next: undefined };
  const code = 'code' in cause && typeof cause.code === 'string' ? `${cause.code}: ` : '';
  return { text: `${code}${cause.message}`, next: cause.cause };
}

/** Why something could not be done, for the end of a message: what the system calls it, where it has a name for it. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? ('code' in error ? String(error.code) : error.message) : String(error);
}

/** @param output - what could not be written, such as `the standard output`. */
export function outputFailed(output: string, cause: unknown): ImageError<'OUTPUT_FAILED'> {
  const failure = systemFailure(cause) ?? (cause instanceof Error ? systemFailure(cause.cause) : undefined);
  const reason = failure?.errno ?? reasonOf(cause);
  const message = `${output} could not be written: ${failure?.what ?? reason}`;
  return new ImageError('OUTPUT_FAILED', message, { output, reason }, { cause });
}
