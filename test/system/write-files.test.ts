import test from 'ava';
import fc from 'fast-check';

import { maxWriteBytes, writeAll } from '../../src/system/write-files.ts';

test('chunks are written in order, however little one call writes', async (t) => {
  const chunks = fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(
      chunks,
      fc.nat(1000),
      fc.infiniteStream(fc.integer({ min: 1, max: 15 })),
      async (given, start, takes) => {
        const written: number[] = [];
        const file = {
          writev: (buffers: readonly NodeJS.ArrayBufferView[], position?: number | null) => {
            t.is(position, start + written.length);
            const all = Buffer.concat(buffers as readonly Uint8Array[]);
            const taken = all.subarray(0, Number(takes.next().value));
            written.push(...taken);
            return Promise.resolve({ bytesWritten: taken.length, buffers: [] });
          },
        };
        let told = 0;
        await writeAll(file as never, given, start, (bytes) => (told += bytes));
        t.deepEqual(Buffer.from(written), Buffer.concat(given));
        t.is(told, written.length);
      },
    ),
  );
  t.pass();
});

test('the bytes written before a failing call are reported', async (t) => {
  let calls = 0;
  const file = {
    writev: () => {
      calls += 1;
      if (calls === 2) return Promise.reject(new Error('full'));
      return Promise.resolve({ bytesWritten: 3, buffers: [] });
    },
  };
  let told = 0;
  await t.throwsAsync(
    writeAll(file as never, [Buffer.alloc(10)], 0, (bytes) => (told += bytes)),
    { message: 'full' },
  );
  t.is(told, 3);
});

test('no call writes more than is cheap, wherever chunks begin and end', async (t) => {
  const sizes = [maxWriteBytes + 10, 10, maxWriteBytes - 20, 5, 3 * maxWriteBytes];
  const chunks = sizes.map((size, at) => Buffer.alloc(size, at + 1));
  const written: Buffer[] = [];
  const file = {
    writev: (buffers: readonly Uint8Array[]) => {
      const all = Buffer.concat(buffers);
      written.push(all);
      return Promise.resolve({ bytesWritten: all.length, buffers: [] });
    },
  };
  await writeAll(file as never, chunks, 0, () => undefined);
  t.true(written.every(({ length }) => length <= maxWriteBytes));
  t.is(written.length, Math.ceil(sizes.reduce((sum, size) => sum + size) / maxWriteBytes));
  t.true(Buffer.concat(written).equals(Buffer.concat(chunks)));
});
