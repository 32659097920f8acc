import { type AppInput, ImageError, show, showReference, showUrlsIn } from '../../internal.ts';
import { systemFailure } from '../../system/errno.ts';
import { adviceFor } from './advice.ts';

const maxMessage = 1000;

/**
 * One line with the request, the code, the message and the advice.
 *
 * @param reference - absent when the error is not about one image.
 * @param request - says how the reference is read, if that is known.
 * @param hint - goes on with the advice.
 */
export function errorLine(error: ImageError, reference?: string, request?: AppInput, hint = ''): string {
  const asked = reference === undefined ? '' : `${showReference(reference).trim() || '""'}: `;
  const end = error.message.endsWith('?') ? '' : '.';
  return `error: ${asked}${error.code}: ${show(error.message, maxMessage)}${end} ${adviceFor(error, request ?? { image: reference ?? '' })}${hint}.`;
}

/** One line for each of several failures. */
export function errorLines(
  failures: readonly { readonly asked: string | undefined; readonly request?: AppInput; readonly error: ImageError }[],
): string {
  return failures.map(({ asked, request, error }) => `${errorLine(error, asked, request)}\n`).join('');
}

/** The causes of an error, the outermost first, one line each: for `--debug`. */
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

/** The reason for the end of a message: the system's code for it, or the message of the error. */
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
