import { isUtf8 } from 'node:buffer';
import type { Stats } from 'node:fs';
import { opendir, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { addAbortSignal, type Readable } from 'node:stream';

import { ImageError } from '../errors.ts';
import { showReference } from '../image/reference.ts';
import { isHttpUrl } from '../image/url.ts';
import { isNoEntry, systemFailure } from '../system/errno.ts';
import { openNamed } from '../system/files.ts';
import {
  type Entry,
  listInvalid,
  type ListType,
  listTypes,
  type Note,
  type ParsedList,
  type RegistryWish,
} from './list.ts';
import { isStructured, parseLines } from './parse-list.ts';
import type { StructuredText } from './parse-structured.ts';

export type ListSource = {
  /** `[TYPE:]LIST`. A LIST of `-` means standard input. */
  readonly path: string;
  /** The absolute path that `path` is resolved against, and the paths in a list from standard input or a pipe. */
  readonly directory: string;
  /** Standard input. */
  readonly input: Readable;
  /** Variables that lists may refer to. */
  readonly environment: Readonly<Record<string, string | undefined>>;
};

export type ReadList = {
  readonly entries: readonly Entry[];
  /** All that is wrong in it. */
  readonly errors: readonly ImageError<'LIST_INVALID'>[];
  readonly notes: readonly Note[];
  readonly registries: readonly RegistryWish[];
};

/** Splits `[TYPE:]LIST`; what stands before a colon is a type only if it is one of the words. */
export function splitListType(text: string): { readonly type?: ListType; readonly path: string } {
  const at = text.indexOf(':');
  const type = listTypes.find((word) => word === text.slice(0, Math.max(0, at)));
  return type === undefined ? { path: text } : { type, path: text.slice(at + 1) };
}

/**
 * Reads a list, or all lists of a directory.
 *
 * @throws USAGE for a URL, FILE_NOT_FOUND, FILE_UNREADABLE, LIMIT_EXCEEDED beyond 64 MiB, LIST_INVALID for a file that is not a
 * list; what is wrong in a list is in the result.
 */
export async function readList(source: ListSource, signal: AbortSignal): Promise<ReadList> {
  const { type, path } = splitListType(source.path);
  const { directory, input, environment } = source;
  const shown = path === '-' ? 'standard input' : showReference(path);
  if (isHttpUrl(path) || path === '') {
    const problem = path === '' ? `nothing after ${source.path}` : `not the URL ${shown}: download the list first`;
    const message = `expected a local file, or - for standard input, ${problem}`;
    throw new ImageError('USAGE', message, { option: '--from-file' });
  }
  const asked = { ...(type && { type }), environment };
  try {
    if (path === '-')
      return asRead(await parse(await readAll(input, shown, signal), { ...asked, shown, directory }, signal));
    const file = resolve(directory, path);
    const found = await stat(file).catch(() => undefined); // opening it reports any error
    if (!found?.isDirectory()) return asRead(await readFile(file, { ...asked, shown, directory, found }, signal));
    const names = await listNames(file, shown);
    const lists: ParsedList[] = [];
    for (const name of names) {
      const request = { ...asked, shown: join(path, name), directory, found: undefined, skipsUnknown: true };
      lists.push(await readFile(join(file, name), request, signal));
    }
    return asRead(...lists);
  } catch (error) {
    signal.throwIfAborted();
    throw unreadable(shown, error);
  }
}

function asRead(...lists: readonly ParsedList[]): ReadList {
  return {
    entries: lists.flatMap(({ entries }) => entries),
    errors: lists.flatMap(({ problems }) => problems.map(listInvalid)),
    notes: lists.flatMap(({ notes }) => notes),
    registries: lists.flatMap(({ registries }) => registries),
  };
}

const maxFiles = 10_000;

/** The lists in a directory, not those in directories in it. @throws FILE_NOT_FOUND, LIMIT_EXCEEDED */
async function listNames(path: string, shown: string): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const { name } of await opendir(path)) {
    if (/^\.|(?<!\.ya?ml|\.json)$/i.test(name)) continue;
    names.push(name);
    if (names.length <= maxFiles) continue;
    const message = `${shown} has more than ${maxFiles} lists`;
    throw new ImageError('LIMIT_EXCEEDED', message, { limit: 'lists of a directory', maximum: maxFiles });
  }
  if (names.length > 0) return names.sort();
  throw new ImageError('FILE_NOT_FOUND', `the directory ${shown} has no YAML or JSON file`, { path: shown });
}

type FileRequest = Omit<StructuredText, 'text' | 'path'> & { readonly found: Stats | undefined };

async function readFile(path: string, request: FileRequest, signal: AbortSignal): Promise<ParsedList> {
  const { found, directory, ...rest } = request;
  // paths in a pipe, such as that of a shell's <(command), are relative to the working directory
  const base = found?.isFIFO() ? directory : dirname(path);
  const bytes = await openNamed(path)
    .then((stream) => readAll(stream, request.shown, signal))
    .catch((error: unknown) => {
      signal.throwIfAborted();
      throw unreadable(request.shown, error);
    });
  return parse(bytes, { ...rest, directory: base, ...(!found?.isFIFO() && { path }) }, signal);
}

const maxBytes = 64 * 1024 * 1024;

async function readAll(stream: Readable, shown: string, signal: AbortSignal): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  const read: AsyncIterable<Uint8Array> = addAbortSignal(signal, stream); // without an encoding, chunks are bytes
  for await (const chunk of read) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) {
      const message = `${shown} has more than ${maxBytes} bytes`;
      throw new ImageError('LIMIT_EXCEEDED', message, { limit: 'list', maximum: maxBytes });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** A larger text would keep the thread busy for too long. */
const inlineLength = 256 * 1024;

async function parse(bytes: Buffer, request: Omit<StructuredText, 'text'>, signal: AbortSignal): Promise<ParsedList> {
  const { shown, directory, type } = request;
  const text = decode(bytes, shown);
  if (type === 'text' || type === 'images' || (type === undefined && !request.skipsUnknown && !isStructured(text)))
    return parseLines({ text, shown, directory, areOfRegistries: type === 'images' });
  const structured = { ...request, text: text.replace(/^\ufeff/, '') };
  if (text.length > inlineLength) return (await import('./parse-in-thread.ts')).parseInThread(structured, signal);
  return (await import('./parse-structured.ts')).parseStructured(structured);
}

/** @throws LIST_INVALID for bytes that are no text */
function decode(bytes: Buffer, shown: string): string {
  const refuse = (problem: string, line = 1) =>
    new ImageError('LIST_INVALID', `${shown} is not a list: ${problem}`, { list: shown, line });
  const start = bytes.subarray(0, 4).toString('hex');
  if (/^(?:fffe|feff)/.test(start)) throw refuse('it is UTF-16; save it as UTF-8');
  if (bytes.subarray(0, 4096).includes(0)) throw refuse('it is a binary file, or UTF-16');
  if (isUtf8(bytes)) return bytes.toString('utf8');
  let line = 1;
  for (let at = 0; at < bytes.length; line += 1) {
    const end = bytes.indexOf(0x0a, at);
    if (end < 0 || !isUtf8(bytes.subarray(at, end))) break;
    at = end + 1;
  }
  throw refuse(`it is not UTF-8, from line ${line} on or a little later`, line);
}

function unreadable(shown: string, cause: unknown): unknown {
  const failure = systemFailure(cause);
  if (!failure) return cause;
  const details = { path: shown, errno: failure.errno };
  if (isNoEntry(cause))
    return new ImageError('FILE_NOT_FOUND', `there is no list ${shown}`, { path: shown }, { cause });
  return new ImageError('FILE_UNREADABLE', `the list ${shown} cannot be read: ${failure.what}`, details, { cause });
}
