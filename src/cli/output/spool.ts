import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Writable } from 'node:stream';

import { write } from './write.ts';

/** What is kept in memory before it goes to a file, and the size of one read. */
const memoryBytes = 1024 * 1024;

export type Spool = {
  append(text: string): void;
  /** Writes everything to the stream, no faster than it takes it, and forgets it. */
  drainTo(stream: Writable): Promise<void>;
};

/** Text that has to wait, in any amount: the first of it in memory, more in a temporary file without a name. */
export function createSpool(): Spool {
  let pending: string[] = [];
  let pendingLength = 0;
  let file: number | undefined;

  const flush = (): number => {
    file ??= openNameless();
    const bytes = Buffer.from(pending.join(''));
    for (let at = 0; at < bytes.byteLength;) at += writeSync(file, bytes, at);
    pending = [];
    pendingLength = 0;
    return file;
  };

  return {
    append(text) {
      pending.push(text);
      pendingLength += text.length;
      if (pendingLength >= memoryBytes) flush();
    },
    async drainTo(stream) {
      if (file === undefined) {
        await write(stream, Buffer.from(pending.join('')));
        return;
      }
      const descriptor = flush();
      for (let at = 0; ;) {
        const chunk = Buffer.allocUnsafe(memoryBytes);
        const bytes = readSync(descriptor, chunk, 0, memoryBytes, at);
        if (bytes === 0) break;
        at += bytes;
        await write(stream, chunk.subarray(0, bytes));
      }
      closeSync(descriptor);
    },
  };
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
