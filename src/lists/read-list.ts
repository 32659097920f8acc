import { stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { addAbortSignal, type Readable } from 'node:stream';

import { ImageError } from '../errors.ts';
import { showReference } from '../image/show-reference.ts';
import { isHttpUrl } from '../image/url-reference.ts';
import { isNoEntry, systemFailure } from '../system/errno.ts';
import { openNamed } from '../system/files.ts';
import { createListBuilder, type List } from './parse-list.ts';
import { readLines } from './read-lines.ts';

export type ListSource = {
  /** `-` is the input. */
  readonly path: string;
  /** Absolute; what `path` is relative to, and the paths of a list that comes by the input or a pipe. */
  readonly directory: string;
  /** Standard input. */
  readonly input: Readable;
};

/** `directory` is what its paths are relative to: where the list lies, or the working directory for one that lies nowhere. */
export type ReadList = List & { readonly directory: string };

/**
 * Reads a list, a line at a time.
 *
 * @throws USAGE for a URL, FILE_NOT_FOUND, FILE_UNREADABLE, LIMIT_EXCEEDED beyond 64 MiB, LIST_INVALID for what is no list at all; single
 * bad lines are in the result.
 */
export async function readList({ path, directory, input }: ListSource, signal: AbortSignal): Promise<ReadList> {
  const isInput = path === '-';
  const file = resolve(directory, path);
  const shown = isInput ? 'standard input' : showReference(path);
  if (isHttpUrl(path)) {
    const message = `want a local file, or - for the standard input, got the URL ${shown}: bring it first`;
    throw new ImageError('USAGE', message, { option: '--from-file' });
  }
  const isPlaced = !isInput && !(await isPipe(file));
  const place = isPlaced ? dirname(file) : directory;
  const builder = createListBuilder({ directory: place, shown });
  try {
    const stream: AsyncIterable<Uint8Array> = addAbortSignal(signal, isInput ? input : await openNamed(file));
    for await (const lines of readLines(stream, shown)) lines.forEach(builder.add);
  } catch (error) {
    signal.throwIfAborted();
    throw unreadable(shown, error);
  }
  return { ...builder.list, directory: place };
}

/** Such as that of a shell's `<(command)`. */
async function isPipe(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFIFO() ?? false; // what is wrong with it shows when it is opened
}

function unreadable(shown: string, cause: unknown): unknown {
  const failure = systemFailure(cause);
  if (!failure) return cause;
  const details = { path: shown, errno: failure.errno };
  if (isNoEntry(cause))
    return new ImageError('FILE_NOT_FOUND', `there is no list ${shown}`, { path: shown }, { cause });
  return new ImageError('FILE_UNREADABLE', `the list ${shown} cannot be read: ${failure.what}`, details, { cause });
}
