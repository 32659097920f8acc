import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';

import test from 'ava';

import { hasCode } from '../../../src/errors.ts';
import { openArchive } from '../../../workers/decompress/open-archive.ts';
import { unlimitedMemory } from '../../../workers/memory.ts';
import { buildAci, compress, type Compression } from '../../helpers/archive.ts';

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield await Promise.resolve(bytes.subarray(at, at + size));
}

async function open(bytes: Uint8Array, size = 1000): Promise<{ compression: string; tar: Buffer }> {
  const { compression, tar } = await openArchive(pieces(bytes, size), 'example.com/app.aci', unlimitedMemory);
  return { compression, tar: Buffer.concat(await Array.fromAsync(tar)) };
}

for (const compression of ['none', 'gzip', 'bzip2', 'xz'] satisfies Compression[]) {
  test(`an archive is recognised by its first bytes: ${compression}`, async (t) => {
    const { bytes, tar } = await buildAci({ name: 'example.com/app', size: 5000, compress: compression });
    for (const size of [1, 100, 100_000]) t.deepEqual(await open(bytes, size), { compression, tar });
  });
}

/** A header as tar wrote it before POSIX: without a magic number. */
function oldTar(path: string, type: string): Buffer {
  const block = Buffer.alloc(1024);
  block.write(path);
  block.write('0000644\0', 100);
  block.fill(' ', 148, 156);
  block.write(type, 156, 'latin1');
  return withChecksum(block);
}

function ustar(path: string): Buffer {
  const block = oldTar(path, '0');
  block.write('ustar\x0000', 257, 'latin1');
  return withChecksum(block.fill(' ', 148, 156));
}

function withChecksum(block: Buffer): Buffer {
  const sum = block.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

const others: readonly [looksLike: string, bytes: Buffer][] = [
  ['empty', Buffer.alloc(0)],
  ['text', Buffer.from('hello')],
  ['text', Buffer.from('BZ')],
  ['JSON', Buffer.from('{"a":1}')],
  ['JSON', Buffer.from('\ufeff [1]')],
  ['HTML', Buffer.from('<html>')],
  ['HTML', Buffer.from(`\n <!DOCTYPE  html>${'é'.repeat(400)}`)],
  ['XML', Buffer.from('<?xml version="1.0"?>')],
  ['zstd', Buffer.from('28b52ffd00', 'hex')],
  ['zip', Buffer.from('PK\x03\x04zip')],
  ['lz4', Buffer.from('04224d18', 'hex')],
  ['OpenPGP encrypted', Buffer.from('-----BEGIN PGP MESSAGE-----\n\nabc')],
  ['OpenPGP encrypted', Buffer.concat([Buffer.from('8c0d0409', 'hex'), Buffer.alloc(600, 0xa7)])],
  ['an OpenPGP signature', Buffer.from('-----BEGIN PGP SIGNATURE-----\n')],
  ['lzma', Buffer.from('5d00008000ffffffffffffffff', 'hex')],
  ['an old tar (v7)', oldTar('manifest', '0')],
  ['an old tar (v7)', oldTar('./manifest', '\0')],
  ['a tar with a volume label', oldTar('backup of Monday', 'V')],
  ['unknown', oldTar('\x01', '0').fill('7', 148, 154)],
  ['an archive of docker save', ustar(`${'ab'.repeat(32)}.tar`)],
  ['an archive of docker save', ustar('manifest.json')],
  ['an archive of an OCI layout', ustar('blobs/')],
  ['an archive of an OCI layout', ustar('./oci-layout')],
  ['unknown', Buffer.from('00010203', 'hex')],
  ['unknown', Buffer.alloc(2048)],
];

for (const [looksLike, bytes] of others) {
  test(`a file that is no archive is named, inside gzip too: ${looksLike} ${bytes.toString('hex', 0, 4)}`, async (t) => {
    for (const file of [bytes, gzipSync(bytes)]) {
      const error = await t.throwsAsync(open(file, 64));
      t.true(hasCode(error, 'ARCHIVE_UNREADABLE'));
      if (hasCode(error, 'ARCHIVE_UNREADABLE')) t.deepEqual(error.details, { path: 'example.com/app.aci', looksLike });
    }
  });
}

const options: readonly [looksLike: string, ...args: string[]][] = [
  ['xz with a sha256 check', '--check=sha256'],
  ['xz with the x86 filter', '--x86', '--lzma2'],
  ['xz with the delta filter', '--delta=dist=4', '--lzma2'],
  ['xz with a dictionary of more than 64 MiB', '--lzma2=preset=0,dict=96MiB'],
];

for (const [looksLike, ...args] of options) {
  test(`an unsupported feature of xz is named: ${looksLike}`, async (t) => {
    const { tar } = await buildAci({ name: 'example.com/app' });
    const file = execFileSync('xz', ['--stdout', ...args], { input: tar });
    for (const size of [1, 64, 100_000]) {
      const error = await t.throwsAsync(open(file, size), { code: 'ARCHIVE_UNREADABLE' });
      t.true(hasCode(error, 'ARCHIVE_UNREADABLE') && error.details.looksLike === looksLike, error.message);
    }
  });
}

test('xz with every supported check and dictionary is read', async (t) => {
  const { tar } = await buildAci({ name: 'example.com/app', size: 5000 });
  for (const args of [
    ['--check=none'],
    ['--check=crc32'],
    ['-9e'],
    ['-0'],
    ['--lzma2=dict=1536KiB'],
    ['--block-size=1000'],
  ])
    t.deepEqual(await open(execFileSync('xz', ['--stdout', ...args], { input: tar })), { compression: 'xz', tar });
});

test('only one layer of compression is removed', async (t) => {
  const { bytes } = await buildAci({ name: 'example.com/app', compress: 'gzip' });
  for (const outer of ['gzip', 'bzip2', 'xz'] satisfies Compression[]) {
    const error = await t.throwsAsync(open(compress(bytes, outer)), { code: 'ARCHIVE_UNREADABLE' });
    t.regex(error.message, /compressed twice/);
  }
});

test('random bytes are never an archive', async (t) => {
  for (let round = 0; round < 50; round++) {
    const bytes = randomBytes(600);
    bytes.writeUInt8(0, 0);
    await t.throwsAsync(open(bytes), { code: 'ARCHIVE_UNREADABLE' });
  }
});
