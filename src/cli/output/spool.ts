import { closeSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Writable } from 'node:stream';

import { show, type ImageError } from '../../index.ts';
import { outputFailed } from './output-failed.ts';
import { write, writeWhole } from './write.ts';

/** What is kept in memory before it goes to a file, and the size of one read. */
const memoryBytes = 1024 * 1024;

export type Spool = {
  append(text: string): void;
  /** Writes everything to the stream, no faster than it takes it, and forgets it. @throws OUTPUT_FAILED when it could not be kept */
  drainTo(stream: Writable): Promise<void>;
};

/** Text that has to wait, in any amount: the first of it in memory, more in a temporary file without a name. */
export function createSpool(): Spool {
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

  return {
    append(text) {
      if (failure) return;
      pending.push(text);
      pendingLength += text.length;
      if (pendingLength < memoryBytes) return;
      try {
        flush();
      } catch (error) {
        failure = unkept(error); // told in the end: the images are brought all the same
      }
    },
    async drainTo(stream) {
      if (failure) throw failure;
      if (file === undefined) {
        await write(stream, Buffer.from(pending.join('')));
        return;
      }
      try {
        const descriptor = flush();
        for (const chunk of chunksOf(descriptor)) await write(stream, chunk);
        closeSync(descriptor);
      } catch (error) {
        throw unkept(error);
      }
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

function unkept(error: unknown): ImageError {
  return outputFailed(`a temporary file in ${show(tmpdir())}, which keeps a part of the result,`, error);
}

/** Nothing is left of it, however the process ends. */
function openNameless(): number {
  const directory = mkdtempSync(join(tmpdir(), 'longshore-'));
  try {
    return openSync(join(directory, 'spool'), 'wx+', 0o600);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
