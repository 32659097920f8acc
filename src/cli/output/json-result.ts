import { closeSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Writable } from 'node:stream';

import { type ImageError, show } from '../../internal.ts';
import { outputFailed } from './error-line.ts';
import { toSafeJson } from './table.ts';
import { inOrder, type ResultWriter } from './text-result.ts';
import { write, writeWhole, written } from './write.ts';

/**
 * Writes one JSON document as outcomes become known: requests in their order, then dependencies, then totals. A push has
 * no dependencies.
 */
export function createJsonResult<O extends { readonly index?: number }, T>(
  stdout: Writable,
  schema: 'longshore.fetch/1' | 'longshore.plan/1' | 'longshore.push/1',
): ResultWriter<O, T> {
  const nodes = createSpool();
  let images = 0;
  let dependencies = 0;
  stdout.write(`{"schema":"${schema}","images":[`);
  const print = inOrder<string>((json) => {
    stdout.write(images === 0 ? `\n${json}` : `,\n${json}`);
    images += 1;
  });
  return {
    add(outcome) {
      const json = toSafeJson(outcome);
      if (outcome.index !== undefined) {
        print(outcome.index, json);
      } else {
        nodes.append(dependencies === 0 ? `\n${json}` : `,\n${json}`);
        dependencies += 1;
      }
    },
    async end(totals) {
      if (schema !== 'longshore.push/1') {
        stdout.write('\n],"nodes":[');
        await nodes.drainTo(stdout);
      }
      stdout.write(`\n],"totals":${toSafeJson(totals)}}\n`);
      await written(stdout);
    },
  };
}

/** Text beyond this size is moved from memory to a file. Also the size of one read. */
const memoryBytes = 1024 * 1024;

type Spool = {
  append(text: string): void;
  /**
   * Writes everything to the stream, with back-pressure, and empties the spool. @throws OUTPUT_FAILED when it could not
   * be stored
   */
  drainTo(stream: Writable): Promise<void>;
};

/** Stores any amount of text: the first part in memory, the rest in a temporary file without a name. */
function createSpool(): Spool {
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
        failure = unkept(error); // reported at the end: the images are fetched all the same
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

/** The file is removed however the process ends. */
function openNameless(): number {
  const directory = mkdtempSync(join(tmpdir(), 'longshore-'));
  try {
    return openSync(join(directory, 'spool'), 'wx+', 0o600);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
