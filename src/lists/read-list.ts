import { stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { addAbortSignal, type Readable } from 'node:stream';

import { ImageError } from '../errors.ts';
import { showReference } from '../image/reference.ts';
import { isHttpUrl } from '../image/url.ts';
import { isNoEntry, systemFailure } from '../system/errno.ts';
import { openNamed } from '../system/files.ts';
import { createListBuilder, type List } from './parse-list.ts';

export type ListSource = {
  /** `-` means standard input. */
  readonly path: string;
  /** The absolute path that `path` is resolved against, and the paths in a list from standard input or a pipe. */
  readonly directory: string;
  /** Standard input. */
  readonly input: Readable;
};

/** `directory` is the one that relative paths in the list are resolved against: its own, or the working directory for a pipe. */
export type ReadList = List & { readonly directory: string };

/**
 * Reads a list line by line.
 *
 * @throws USAGE for a URL, FILE_NOT_FOUND, FILE_UNREADABLE, LIMIT_EXCEEDED beyond 64 MiB, LIST_INVALID for a file that is not a
 * list; single bad lines are in the result.
 */
export async function readList({ path, directory, input }: ListSource, signal: AbortSignal): Promise<ReadList> {
  const isInput = path === '-';
  const file = resolve(directory, path);
  const shown = isInput ? 'standard input' : showReference(path);
  if (isHttpUrl(path)) {
    const message = `expected a local file, or - for standard input, not the URL ${shown}: download the list first`;
    throw new ImageError('USAGE', message, { option: '--from-file' });
  }
  const hasDirectory = !isInput && !(await isPipe(file));
  const base = hasDirectory ? dirname(file) : directory;
  const builder = createListBuilder({ directory: base, shown });
  try {
    const stream: AsyncIterable<Uint8Array> = addAbortSignal(signal, isInput ? input : await openNamed(file));
    for await (const lines of readLines(stream, shown)) lines.forEach(builder.add);
  } catch (error) {
    signal.throwIfAborted();
    throw unreadable(shown, error);
  }
  return { ...builder.list, directory: base };
}

/** Whether a path is a named pipe, such as that of a shell's `<(command)`. */
async function isPipe(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFIFO() ?? false; // opening it reports any error
}

function unreadable(shown: string, cause: unknown): unknown {
  const failure = systemFailure(cause);
  if (!failure) return cause;
  const details = { path: shown, errno: failure.errno };
  if (isNoEntry(cause))
    return new ImageError('FILE_NOT_FOUND', `there is no list ${shown}`, { path: shown }, { cause });
  return new ImageError('FILE_UNREADABLE', `the list ${shown} cannot be read: ${failure.what}`, details, { cause });
}

const maxBytes = 64 * 1024 * 1024;

/**
 * Splits UTF-8 bytes into lines without their line feeds; yields the lines of one chunk at a time.
 *
 * @throws LIMIT_EXCEEDED beyond 64 MiB, LIST_INVALID for bytes that are not UTF-8.
 */
export async function* readLines(chunks: AsyncIterable<Uint8Array>, shown: string): AsyncGenerator<readonly string[]> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let bytes = 0;
  let count = 0;
  let rest = '';
  const decode = (chunk?: Uint8Array): string => {
    try {
      return decoder.decode(chunk, { stream: chunk !== undefined });
    } catch (cause) {
      const message = `${shown} is not a list: it is not UTF-8, from line ${count + 1} on or a little later`;
      throw new ImageError('LIST_INVALID', message, { list: shown, line: count + 1 }, { cause });
    }
  };
  for await (const chunk of chunks) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) {
      throw new ImageError('LIMIT_EXCEEDED', `${shown} has more than ${maxBytes} bytes`, {
        limit: 'list',
        maximum: maxBytes,
      });
    }
    const lines = decode(chunk).split('\n');
    lines[0] = rest + (lines[0] ?? '');
    rest = lines.pop() ?? '';
    count += lines.length;
    yield lines;
  }
  yield [rest + decode()];
}
