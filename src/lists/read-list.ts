import { createReadStream } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { addAbortSignal, type Readable } from 'node:stream';

import { ImageError } from '../errors.ts';
import { showReference } from '../image/show-reference.ts';
import { isHttpUrl } from '../image/url-reference.ts';
import { createListBuilder, type List } from './parse-list.ts';
import { readLines } from './read-lines.ts';

export type ListSource = {
  /** `-` is the input. */
  readonly path: string;
  /** Absolute; what `path` is relative to, and the paths of a list that comes by `input`. */
  readonly directory: string;
  /** Standard input. */
  readonly input: Readable;
};

/**
 * Reads a list, a line at a time.
 *
 * @throws USAGE for a URL, FILE_NOT_FOUND, FILE_UNREADABLE, LIMIT_EXCEEDED beyond 64 MiB, LIST_INVALID for what is no list at all; single
 * bad lines are in the result.
 */
export async function readList({ path, directory, input }: ListSource, signal: AbortSignal): Promise<List> {
  const isInput = path === '-';
  const file = resolve(directory, path);
  const shown = isInput ? 'standard input' : showReference(path);
  if (isHttpUrl(path)) {
    const message = `want a local file, or - for the standard input, got the URL ${shown}: bring it first`;
    throw new ImageError('USAGE', message, { option: '--from-file' });
  }
  const builder = createListBuilder({ directory: isInput ? directory : dirname(file), shown });
  const stream: AsyncIterable<Uint8Array> = addAbortSignal(signal, isInput ? input : createReadStream(file));
  try {
    for await (const lines of readLines(stream, shown)) lines.forEach(builder.add);
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof Error && 'syscall' in error ? unreadable(shown, error) : error;
  }
  return builder.list;
}

function unreadable(shown: string, cause: Error & { readonly code?: unknown }): ImageError {
  const details = { path: shown };
  if (cause.code === 'ENOENT') return new ImageError('FILE_NOT_FOUND', `there is no list ${shown}`, details, { cause });
  return new ImageError('FILE_UNREADABLE', `the list ${shown} cannot be read: ${cause.message}`, details, { cause });
}
