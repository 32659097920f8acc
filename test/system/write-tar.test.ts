import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setTimeout } from 'node:timers/promises';
import { createGzip, createZstdCompress, gunzipSync } from 'node:zlib';

import test, { type ExecutionContext } from 'ava';

import { type TarFile, writeTar, writeTarFile } from '../../src/system/write-tar.ts';
import { temporaryDirectory } from '../helpers/stored.ts';
import { untar } from '../helpers/untar.ts';

const never = new AbortController().signal;

/** A file whose chunks share their memory, if they may. */
function chunked(name: string, sizes: readonly number[]): TarFile {
  const size = sizes.reduce((sum, bytes) => sum + bytes, 0);
  return {
    name,
    content: {
      size,
      async *read(reusesMemory) {
        const shared = Buffer.alloc(Math.max(...sizes, 0));
        for (const [at, bytes] of sizes.entries()) {
          const chunk = reusesMemory ? shared : Buffer.alloc(shared.length);
          yield await Promise.resolve(chunk.fill(at + 1).subarray(0, bytes));
        }
      },
    },
  };
}

const long = `longshore/blobs/sha512/${'a'.repeat(128)}`;
const files: readonly TarFile[] = [
  { name: 'empty', content: Buffer.alloc(0) },
  { name: 'block', content: Buffer.alloc(512, 'b') },
  { name: long, content: Buffer.from('long') },
  { name: 'n'.repeat(100), content: Buffer.from('exactly') },
  { name: `ü${'n'.repeat(99)}`, content: Buffer.from('one byte more') },
  chunked('none', []),
  chunked('chunks', [300_000, 1, 299_999, 512]),
];

async function toFile(t: ExecutionContext, written: readonly TarFile[], compressor?: 'gzip'): Promise<string> {
  const path = join(await temporaryDirectory(t), 'out.tar');
  await using file = await open(path, 'wx');
  await writeTarFile(file, { files: written, compressor: compressor && createGzip() }, never);
  return path;
}

test('what is written other programs read: each file with its name and its bytes, in their order', async (t) => {
  const path = await toFile(t, files);
  const bytes = await readFile(path);
  t.is(bytes.length % 512, 0);
  const read = await untar(bytes);
  t.deepEqual(
    [...read.keys()],
    files.map(({ name }) => name),
  );
  t.deepEqual(read.get(long), Buffer.from('long'));
  const parts = [300_000, 1, 299_999, 512].map((size, at) => Buffer.alloc(size, at + 1));
  t.deepEqual(read.get('chunks'), Buffer.concat(parts));
  const listed = execFileSync('tar', ['--numeric-owner', '--utc', '-tvf', path], { encoding: 'utf8' })
    .trim()
    .split('\n');
  t.is(listed.length, files.length);
  for (const line of listed) t.regex(line, /^-rw-r--r-- 0\/0 +\d+ 1970-01-01 00:00 /);
});

test('a stream gets the same bytes, and stays open; compressed ones are the same within', async (t) => {
  const bytes = await readFile(await toFile(t, files));
  const output = new PassThrough();
  const received = buffer(output);
  await writeTar({ files, output }, never);
  t.false(output.writableEnded);
  output.end();
  t.true((await received).equals(bytes));
  t.true(gunzipSync(await readFile(await toFile(t, files, 'gzip'))).equals(bytes));
});

test('a size that a header cannot hold stands before it, as pax has it', async (t) => {
  const path = join(await temporaryDirectory(t), 'out.tar');
  await using file = await open(path, 'wx');
  const size = 8 * 2 ** 30;
  const content = { size, read: () => chunks(new Error('enough')) };
  await t.throwsAsync(writeTarFile(file, { files: [{ name: 'large', content }] }, never), { message: 'enough' });
  const listed = execFileSync('sh', ['-c', `tar -tvf '${path}' 2>/dev/null; true`], { encoding: 'utf8' });
  t.regex(listed, new RegExp(` ${size} .* large`));
});

// oxlint-disable-next-line require-yield
async function* chunks(error: Error): AsyncGenerator<Uint8Array> {
  await Promise.resolve();
  throw error;
}

test('a content of another size than it has said ends the archive with an error, an abort with its reason', async (t) => {
  const short: TarFile = {
    name: 'short',
    content: {
      size: 5,
      read: () => (chunked('', [4]).content as Extract<TarFile['content'], { size: number }>).read(true),
    },
  };
  await t.throwsAsync(toFile(t, [short]), { message: /4 bytes in place of 5/ });
  const path = join(await temporaryDirectory(t), 'out.tar');
  await using file = await open(path, 'wx');
  await t.throwsAsync(writeTarFile(file, { files }, AbortSignal.abort(new Error('stop'))), { message: 'stop' });
});

for (const [name, compressor] of [
  ['gzip', createGzip],
  ['zstd', createZstdCompress],
] as const) {
  test(`the same files are compressed to the same bytes by ${name}, whether they come at once or slowly, to a stream or a file`, async (t) => {
    const content = Buffer.concat([randomBytes(200_000), Buffer.alloc(200_000, 'text '), randomBytes(100_000)]);
    const made = new Set<string>();
    for (const waits of [0, 0, 30]) {
      async function* slowly() {
        for (const [at, size] of [400_000, 3, 2000, 1000].entries()) {
          yield { name: `${at}`, content: content.subarray(0, size) };
          if (waits > 0) await setTimeout(waits);
        }
      }
      const output = new PassThrough();
      const bytes = buffer(output);
      await writeTar({ files: slowly(), output, compressor: compressor() }, never);
      output.end();
      made.add((await bytes).toString('hex'));
      const path = join(await temporaryDirectory(t), 'out.tar');
      await using file = await open(path, 'wx');
      await writeTarFile(file, { files: slowly(), compressor: compressor() }, never);
      made.add((await readFile(path)).toString('hex'));
    }
    t.is(made.size, 1);
  });
}
