import { execFileSync } from 'node:child_process';
import { gzipSync } from 'node:zlib';

import test from 'ava';
import fc from 'fast-check';

import { hasCode } from '../../../src/errors.ts';
import { bunzip } from '../../../workers/decompress/bunzip.ts';
import { gunzip } from '../../../workers/decompress/gunzip.ts';
import { unxz } from '../../../workers/decompress/unxz.ts';
import { type Memory, unlimitedMemory } from '../../../workers/memory.ts';
import { someBytes } from '../../helpers/archive.ts';

type Decompressor = (chunks: AsyncIterable<Uint8Array>, path: string, memory: Memory) => AsyncIterable<Uint8Array>;

const run = (program: string, bytes: Uint8Array, ...args: readonly string[]) =>
  execFileSync(program, ['--stdout', ...args], { input: bytes, maxBuffer: 2 ** 28 });

const formats: readonly [name: string, pack: (bytes: Buffer) => Buffer, unpack: Decompressor][] = [
  ['gzip', (bytes) => gzipSync(bytes), gunzip],
  ['bzip2', (bytes) => run('bzip2', bytes, '-1'), bunzip],
  ['xz', (bytes) => run('xz', bytes, '-0'), unxz],
];

/** Chunks as a source makes them: one buffer, filled anew when the next chunk is asked for. */
async function* chunked(bytes: Uint8Array, cuts: readonly number[]): AsyncGenerator<Uint8Array> {
  const shared = Buffer.alloc(bytes.length);
  let at = 0;
  for (const end of [...cuts, bytes.length]) {
    if (end <= at) continue;
    shared.fill(0xff);
    await Promise.resolve();
    shared.set(bytes.subarray(at, end));
    yield shared.subarray(0, end - at);
    at = end;
  }
}

async function unpackAll(unpack: Decompressor, packed: Uint8Array, cuts: readonly number[] = []): Promise<Buffer> {
  const pieces = await Array.fromAsync(unpack(chunked(packed, cuts), 'an archive', unlimitedMemory), (piece) =>
    Buffer.from(piece),
  );
  return Buffer.concat(pieces);
}

async function refusal(unpack: Decompressor, packed: Uint8Array, cuts: readonly number[] = []): Promise<string> {
  try {
    await unpackAll(unpack, packed, cuts);
    return 'accepted';
  } catch (error) {
    if (hasCode(error, 'ARCHIVE_UNREADABLE')) return error.message;
    throw error;
  }
}

const content = Buffer.concat([Buffer.from('a small file, '.repeat(3)), Buffer.alloc(300), someBytes(60, 1)]);

for (const [name, pack, unpack] of formats) {
  const packed = pack(content);
  const second = pack(Buffer.from('second'));

  test(`${name}: chunks may be cut anywhere`, async (t) => {
    for (let cut = 0; cut <= packed.length; cut++) t.deepEqual(await unpackAll(unpack, packed, [cut]), content);
    t.deepEqual(await unpackAll(unpack, packed, Array.from(packed.keys())), content);
  });

  test(`${name}: a truncated stream is refused, wherever it is cut`, async (t) => {
    for (let length = 0; length < packed.length; length++) {
      t.not(await refusal(unpack, packed.subarray(0, length)), 'accepted', `${length}`);
      t.not(await refusal(unpack, packed.subarray(0, length), [length >> 1]), 'accepted', `${length} in two chunks`);
    }
  });

  test(`${name}: bytes after the stream are refused, in the same chunk or not`, async (t) => {
    const zeros = name === 'xz' ? [1, 2, 3, 5] : [1, 2, 4, 512]; // multiples of four are padding there
    const tails = [...zeros.map((length) => Buffer.alloc(length)), Buffer.from('x'), Buffer.from('trailing garbage')];
    for (const tail of [...tails, packed.subarray(0, 1), packed.subarray(0, 2), packed.subarray(0, 7)]) {
      const both = Buffer.concat([packed, tail]);
      const everywhere = Array.from(both.keys());
      for (const cuts of [[], [packed.length], [packed.length - 1], [packed.length + 1], everywhere]) {
        t.not(await refusal(unpack, both, cuts), 'accepted', `${tail.toString('hex')} ${cuts.length}`);
      }
      t.not(await refusal(unpack, Buffer.concat([both, second]), [packed.length, both.length]), 'accepted');
    }
  });

  test(`${name}: several streams are one file, wherever they are cut`, async (t) => {
    const both = Buffer.concat([packed, second]);
    const expected = Buffer.concat([content, Buffer.from('second')]);
    for (let cut = 0; cut <= both.length; cut++) t.deepEqual(await unpackAll(unpack, both, [cut]), expected);
    for (let length = packed.length + 1; length < both.length; length++) {
      t.not(await refusal(unpack, both.subarray(0, length), [packed.length]), 'accepted', `${length}`);
    }
  });

  test(`${name}: a changed bit is refused, or changes nothing`, async (t) => {
    for (let bit = 0; bit < packed.length * 8; bit += 3) {
      const flipped = Buffer.from(packed);
      flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      const unpacked = await unpackAll(unpack, flipped).catch(() => undefined);
      if (unpacked) t.deepEqual(unpacked, content, `${bit}`);
    }
    t.pass();
  });

  test(`${name}: empty and large files are decompressed correctly`, async (t) => {
    const large = someBytes(3_000_000, 2);
    for (const bytes of [Buffer.alloc(0), Buffer.alloc(5_000_000, 'a'), large]) {
      const whole = pack(bytes);
      t.true((await unpackAll(unpack, whole, [1000, whole.length >> 1])).equals(bytes));
    }
  });

  test(`${name}: decompression is the inverse of compression`, async (t) => {
    const repetitive = fc.array(fc.tuple(fc.constantFrom(0, 1, 97, 255), fc.integer({ min: 1, max: 600 })), {
      maxLength: 30,
    });
    const property = fc.asyncProperty(repetitive, async (runs) => {
      const bytes = Buffer.concat(runs.map(([byte, length]) => Buffer.alloc(length, byte)));
      t.true((await unpackAll(unpack, pack(bytes))).equals(bytes));
    });
    await fc.assert(property, { numRuns: 20 });
  });

  test(`${name}: the output of a bomb comes in small pieces`, async (t) => {
    const bomb = pack(Buffer.alloc(20_000_000));
    let total = 0;
    for await (const piece of unpack(chunked(bomb, []), 'an archive', unlimitedMemory)) {
      t.true(piece.length <= 256 * 1024);
      total += piece.length;
      if (total > 5_000_000) break;
    }
    t.true(total > 5_000_000);
  });

  test(`${name}: an error of the source is passed on unchanged`, async (t) => {
    const failure = new Error('source');
    const failing = async function* (): AsyncGenerator<Uint8Array> {
      yield await Promise.resolve(packed.subarray(0, 20));
      throw failure;
    };
    t.is(await t.throwsAsync(Array.fromAsync(unpack(failing(), 'an archive', unlimitedMemory))), failure);
  });
}

test('gzip: a wrong length is refused', async (t) => {
  const packed = gzipSync(content);
  packed.writeUInt32LE(content.length + 1, packed.length - 4);
  t.regex(await refusal(gunzip, packed), /damaged/);
});

test('bzip2: every block size is read', async (t) => {
  const bytes = someBytes(250_000, 3);
  for (const level of ['-1', '-5', '-9']) t.true((await unpackAll(bunzip, run('bzip2', bytes, level))).equals(bytes));
});

test('bzip2: a run that overflows is refused', async (t) => {
  // A block whose every symbol doubles a run, which never ends.
  const bits = [
    ...'BZh9'.split('').map((character) => character.charCodeAt(0).toString(2).padStart(8, '0')),
    (0x314159265359).toString(2).padStart(48, '0'),
    '0'.repeat(32 + 1 + 24),
    '1000000000000000'.repeat(2), // one byte occurs, so there are three symbols
    '010', // two tables
    '111111111111111', // selectors
    '0'.repeat(32767),
    ...Array<string>(2).fill('00001' + '0' + '10' + '0' + '0'), // lengths 1, 2, 2
    '0'.repeat(60 * 50),
  ].join('');
  const bytes = Buffer.from((bits.match(/.{1,8}/g) ?? []).map((byte) => Number.parseInt(byte.padEnd(8, '0'), 2)));
  t.regex(await refusal(bunzip, bytes), /damaged/);
});

test('xz: check values are checked, and a file without any is read', async (t) => {
  for (const check of ['crc32', 'crc64', 'none']) {
    t.deepEqual(await unpackAll(unxz, run('xz', content, `--check=${check}`)), content);
  }
});

test('xz: padding and several blocks are read', async (t) => {
  const packed = run('xz', someBytes(300_000, 4), '--block-size=50000');
  const padded = Buffer.concat([packed, Buffer.alloc(8), packed, Buffer.alloc(4)]);
  t.is((await unpackAll(unxz, padded)).length, 600_000);
});

test('xz: features that the decoder lacks are named', async (t) => {
  t.regex(await refusal(unxz, run('xz', content, '--check=sha256')), /not supported/);
  t.regex(await refusal(unxz, run('xz', content, '--x86', '--lzma2')), /not supported/);
  t.regex(await refusal(unxz, run('xz', content, '--lzma2=dict=128MiB')), /64 MiB/);
});

test('xz: files are decoded in parallel, and a slow one does not delay the others', async (t) => {
  const packed = run('xz', content);
  const slow = unxz(
    (async function* () {
      yield packed.subarray(0, 30);
      await Promise.withResolvers<never>().promise;
    })(),
    'a slow archive',
    unlimitedMemory,
  )[Symbol.asyncIterator]();
  void slow.next();
  t.deepEqual(await unpackAll(unxz, packed), content);
});
