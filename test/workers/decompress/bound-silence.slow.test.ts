import { execFileSync } from 'node:child_process';
import { gzipSync, zstdCompressSync } from 'node:zlib';

import test from 'ava';

import { openLayer } from '../../../workers/convert/unpack-layer.ts';
import { boundSilence } from '../../../workers/decompress/bound-silence.ts';
import { openArchive } from '../../../workers/decompress/open-archive.ts';
import { unlimitedMemory } from '../../../workers/memory.ts';
import { buildAci } from '../../helpers/archive.ts';

const MiB = 1024 * 1024;

const compress = (program: string, bytes: Buffer, ...args: readonly string[]) =>
  execFileSync(program, ['--stdout', ...args], { input: bytes, maxBuffer: 64 * MiB });

/** A megabyte of streams without content, again and again, and how many bytes were asked for. */
function silent(empty: Buffer, before: Buffer = Buffer.alloc(0)) {
  const megabyte = Buffer.concat(Array<Buffer>(Math.ceil(MiB / empty.length)).fill(empty));
  const source = { bytes: 0 };
  const chunks = async function* (): AsyncGenerator<Uint8Array> {
    for (let piece = before; source.bytes < 64 * MiB; piece = megabyte) {
      source.bytes += piece.length;
      yield await Promise.resolve(piece);
    }
  };
  return { source, chunks };
}

const formats: readonly [name: string, pack: (bytes: Buffer) => Buffer][] = [
  ['gzip', (bytes) => gzipSync(bytes)],
  ['bzip2', (bytes) => compress('bzip2', bytes)],
  ['xz', (bytes) => compress('xz', bytes)],
];

for (const [name, pack] of formats) {
  test(`${name}: streams without content are refused after 16 MiB of them, also after a good one`, async (t) => {
    const { tar } = await buildAci({ name: 'example.com/app' });
    for (const before of [Buffer.alloc(0), pack(tar)]) {
      const { source, chunks } = silent(pack(Buffer.alloc(0)), before);
      const read = async () => {
        const opened = await openArchive(chunks(), 'an archive', unlimitedMemory);
        for await (const chunk of opened.tar) t.true(chunk.length > 0);
      };
      await t.throwsAsync(read(), { code: 'LIMIT_EXCEEDED' });
      t.true(source.bytes < 20 * MiB);
    }
  });
}

test('zstd: frames without content are refused after 16 Ki of them', async (t) => {
  const frame = zstdCompressSync(Buffer.alloc(0));
  const { source, chunks } = silent(frame, zstdCompressSync(Buffer.alloc(2048)));
  const read = async () => {
    const opened = await openLayer(chunks(), 'layer');
    for await (const chunk of opened.chunks) t.true(chunk.length > 0);
  };
  await t.throwsAsync(read(), { code: 'LIMIT_EXCEEDED', message: /frames/ });
  t.true(source.bytes < 3 * MiB);
});

test('a stream that costs two seconds of processor time without output is refused, one with output is not', async (t) => {
  let spent = 0;
  const run = (gives: boolean) =>
    Array.fromAsync(
      boundSilence(
        (async function* () {
          for (let piece = 0; piece < 9; piece++) yield await Promise.resolve(Buffer.alloc(10));
        })(),
        async function* (chunks) {
          for await (const chunk of chunks) {
            spent += 500; // of the decompressor
            if (gives) yield chunk;
          }
        },
        () => spent,
      ),
      () => (spent += 10_000), // of who reads it
    );
  t.is((await run(true)).length, 9);
  await t.throwsAsync(run(false), { code: 'LIMIT_EXCEEDED', message: /2000 ms/ });
});
