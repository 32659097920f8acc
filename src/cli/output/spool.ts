import { closeSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { type ImageError, show } from '../../internal.ts';
import { outputFailed } from './error-line.ts';
import { writeWhole } from './write.ts';

/** Text beyond this size is moved from memory to a file. Also the size of one read. */
const memoryBytes = 1024 * 1024;

export type Spool = {
  append(text: string): void;
  /** Everything so far. @throws OUTPUT_FAILED when it could not be stored */
  pieces(): Iterable<Uint8Array>;
  close(): void;
};

/**
 * Stores any amount of text: the first part in memory, the rest in a temporary file without a name.
 *
 * @param what - what the text is a part of, for errors: `the result`.
 */
export function createSpool(what: string): Spool {
  let pending: string[] = [];
  let pendingLength = 0;
  let file: number | undefined;
  let failure: ImageError | undefined;

  const flush = (): number => {
    const bytes = Buffer.from(pending.join(''));
    pending = [];
    pendingLength = 0;
    file ??= openNameless();
    writeWhole(file, bytes);
    return file;
  };
  const unkept = (error: unknown): ImageError =>
    outputFailed(`a temporary file in ${show(tmpdir())}, which keeps a part of ${what},`, error);

  return {
    append(text) {
      if (failure) return;
      pending.push(text);
      pendingLength += text.length;
      if (pendingLength < memoryBytes) return;
      try {
        flush();
      } catch (error) {
        failure = unkept(error); // reported at the end: the images are fetched all the same
      }
    },
    *pieces() {
      if (failure) throw failure;
      if (file === undefined) {
        yield Buffer.from(pending.join(''));
        return;
      }
      try {
        yield* chunksOf(flush()); // what goes wrong where a piece is used is not thrown here
      } catch (error) {
        throw unkept(error);
      }
    },
    close() {
      if (file !== undefined) closeSync(file);
      file = undefined;
    },
  };
}

function* chunksOf(descriptor: number): Generator<Uint8Array> {
  for (let at = 0; ;) {
    const chunk = Buffer.allocUnsafe(memoryBytes);
    const bytes = readSync(descriptor, chunk, 0, memoryBytes, at);
    if (bytes === 0) return;
    at += bytes;
    yield chunk.subarray(0, bytes);
  }
}

/** The file is removed however the process ends. */
function openNameless(): number {
  const directory = mkdtempSync(join(tmpdir(), 'longshore-'));
  try {
    return openSync(join(directory, 'spool'), 'wx+', 0o600);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
