import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { basename, join } from 'node:path';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { createGunzip } from 'node:zlib';

/** Shared by all threads. */
type Work = {
  /** The index of the next file. */
  readonly next: Int32Array<SharedArrayBuffer>;
  readonly directory: string;
  readonly files: readonly string[];
};

/**
 * The least time that archives take in Node: `floor.ts THREADS DIRECTORY FILE...` inflates each, with sha512 of the tar
 * and sha256 of the file, as a signature needs it, in as many threads. Nothing is fetched, checked or synced. The tars
 * are written if DIRECTORY is not empty.
 */
if (isMainThread) {
  const [threads, directory = '', ...files] = process.argv.slice(2);
  const work: Work = { next: new Int32Array(new SharedArrayBuffer(4)), directory, files };
  for (let thread = 0; thread < Number(threads); thread += 1) {
    new Worker(new URL(import.meta.url), { workerData: work });
  }
} else {
  const { next, directory, files } = workerData as Work; // the object passed above
  for (let file = files[Atomics.add(next, 0, 1)]; file !== undefined; file = files[Atomics.add(next, 0, 1)]) {
    await work(file, directory);
  }
}

async function work(file: string, directory: string): Promise<void> {
  const [packed, tar] = [createHash('sha256'), createHash('sha512')];
  await pipeline(
    createReadStream(file, { highWaterMark: 1 << 20 }),
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        packed.update(chunk);
        yield chunk;
      }
    },
    createGunzip({ chunkSize: 1 << 18 }),
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        tar.update(chunk);
        yield chunk;
      }
    },
    directory === ''
      ? new Writable({ write: (_chunk, _encoding, done) => done() })
      : createWriteStream(join(directory, `${basename(file)}.tar`)),
  );
  packed.digest();
  tar.digest();
}
