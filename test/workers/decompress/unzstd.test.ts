import { zstdCompressSync } from 'node:zlib';

import test from 'ava';
import fc from 'fast-check';

import { hasCode } from '../../../src/errors.ts';
import { unzstd } from '../../../workers/decompress/unzstd.ts';
import { unlimitedMemory } from '../../../workers/memory.ts';

const skippable = (content: string) => {
  const head = Buffer.from('5f2a4d1800000000', 'hex');
  head.writeUInt32LE(content.length, 4);
  return Buffer.concat([head, Buffer.from(content)]);
};

async function* cut(bytes: Buffer, step: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += step) yield await Promise.resolve(bytes.subarray(at, at + step));
}

async function decompress(bytes: Buffer, step = bytes.length): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(unzstd(cut(bytes, step), 'layer', unlimitedMemory)));
}

const part = fc.oneof(
  fc.uint8Array({ maxLength: 300 }).map((bytes) => ({ kind: 'frame', bytes: Buffer.from(bytes) }) as const),
  fc.string({ maxLength: 20 }).map((text) => ({ kind: 'skipped', text }) as const),
);

test('frames of any number and size, also skippable ones, are read in pieces of any size', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(part, { minLength: 1, maxLength: 6 }),
      fc.integer({ min: 1, max: 50 }),
      async (parts, step) => {
        const all = [{ kind: 'frame', bytes: Buffer.from('first') } as const, ...parts];
        const packed = all.map((one) => (one.kind === 'frame' ? zstdCompressSync(one.bytes) : skippable(one.text)));
        const content = Buffer.concat(all.map((one) => (one.kind === 'frame' ? one.bytes : Buffer.alloc(0))));
        t.deepEqual(await decompress(Buffer.concat(packed), step), content);
      },
    ),
    { numRuns: 60 },
  );
});

test('a stream truncated at any byte is refused, unless only complete frames remain', async (t) => {
  const frames = [zstdCompressSync('one'.repeat(50)), skippable('meta'), zstdCompressSync('two')];
  const whole = Buffer.concat(frames);
  const ends = new Set(frames.map((_, index) => Buffer.concat(frames.slice(0, index + 1)).length));
  for (let end = 1; end < whole.length; end++) {
    const result = decompress(whole.subarray(0, end), 7);
    if (ends.has(end)) await t.notThrowsAsync(result);
    else t.true(hasCode(await t.throwsAsync(result), 'ARCHIVE_UNREADABLE'), `${end}`);
  }
});

test('bytes after the last frame are refused, zeros too', async (t) => {
  for (const behind of ['\0', 'garbage', '\0\0\0\0\0\0\0\0', '\x1f\x8b\x08\x00']) {
    const bytes = Buffer.concat([zstdCompressSync('one'), Buffer.from(behind, 'latin1')]);
    t.true(hasCode(await t.throwsAsync(decompress(bytes)), 'ARCHIVE_UNREADABLE'), behind);
  }
});

test('a frame that needs a window of gigabytes is refused without allocating it', async (t) => {
  // 2 GiB as the window, then one raw block of one byte.
  const bytes = Buffer.from('28b52ffd00a809000061', 'hex');
  const error = await t.throwsAsync(decompress(bytes));
  t.true(hasCode(error, 'ARCHIVE_UNREADABLE'));
  t.regex(error?.message ?? '', /memory/i);
});
