import test, { type ExecutionContext } from 'ava';

import { hasCode } from '../../../src/errors.ts';
import { createTarReader } from '../../../workers/tar/tar-reader.ts';
import {
  forgeArchive,
  forgeEntry,
  forgeHeader,
  forgePax,
  goodManifest,
  paxRecord,
  tarEnd,
} from '../../helpers/tar-forge.ts';
import { check } from './check.ts';

const whole = forgeArchive(forgeEntry({}, 'content'));
const octal = (value: number) => `${value.toString(8).padStart(11, '0')}\0`;
const base256 = (...last: readonly number[]) =>
  Buffer.from([0x80, ...Array<number>(11 - last.length).fill(0), ...last]).toString('latin1');

function refuses(t: ExecutionContext, archive: Uint8Array, rule: string): void {
  const error = t.throws(() => check(archive));
  t.true(hasCode(error, 'ARCHIVE_INVALID'), String(error));
  if (hasCode(error, 'ARCHIVE_INVALID')) t.is(error.details.rule, rule, error.message);
}

test('a truncated archive is refused, wherever it is cut', (t) => {
  for (let length = 0; length < whole.length; length++) {
    const error = t.throws(() => check(whole.subarray(0, length)));
    t.true(hasCode(error, 'ARCHIVE_INVALID'));
  }
  refuses(t, whole.subarray(0, 1536 + 512 + 3), 'A4');
  refuses(t, whole.subarray(0, 1536 + 512 + 200), 'A4');
  refuses(t, whole.subarray(0, whole.length - 512), 'A7');
  refuses(t, whole.subarray(0, whole.length - 1), 'A7');
});

test('after the end only zeros may follow, any number of them', (t) => {
  t.is(check(Buffer.concat([whole, Buffer.alloc(10_240 + 3)])), goodManifest);
  refuses(t, Buffer.concat([whole, Buffer.alloc(5000), Buffer.from('x')]), 'A7');
  refuses(t, Buffer.concat([whole, whole]), 'A7');
  refuses(
    t,
    Buffer.concat([whole.subarray(0, -1024), Buffer.alloc(512), forgeEntry({ name: 'rootfs/b' }), tarEnd]),
    'A7',
  );
});

test('checksums are checked', (t) => {
  refuses(t, forgeArchive(forgeHeader({ checksum: '000000\0 ' })), 'A4');
  refuses(t, forgeArchive(forgeHeader({ checksum: '        ' })), 'A4');
  const flipped = Buffer.from(whole);
  flipped.writeUInt8(0x41, 1536 + 300);
  refuses(t, flipped, 'A4');
});

const numbers: readonly [title: string, size: string, good: boolean][] = [
  ['octal, NUL at the end', '00000000007\0', true],
  ['octal, space at the end', '00000000007 ', true],
  ['octal, twelve digits', '000000000007', true],
  ['octal, spaces before', '          7\0', true],
  ['octal, space and NUL behind', '0000000007 \0', true],
  ['octal, a NUL before', '\x000000000007\0', true],
  ['base-256', base256(7), true],
  ['a digit that is not octal', '00000000008\0', false],
  ['a sign', '-0000000007\0', false],
  ['letters', 'abcdefghijk\0', false],
  ['something behind the NUL', '0000007\x00001\0', false],
  ['NULs before spaces', '\0         7\0', false],
  ['base-256, negative', '\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff', false],
  ['base-256, beyond what is exact', base256(0x20, 0, 0, 0, 0, 0, 0), false],
];

for (const [title, size, good] of numbers) {
  test(`a size in ${title} is ${good ? 'read' : 'refused'}`, (t) => {
    const archive = forgeArchive(forgeEntry({ patch: { 124: size } }, 'content'));
    if (good) t.is(check(archive), goodManifest);
    else refuses(t, archive, 'A4');
  });
}

test('every number field of a header must be a number', (t) => {
  for (const at of [100, 108, 116, 136, 329, 337])
    refuses(t, forgeArchive(forgeHeader({ patch: { [at]: 'x' } })), 'A4');
  t.is(check(forgeArchive(forgeHeader({ patch: { 136: '\xff'.repeat(12) } }))), goodManifest);
});

test('a GNU header with a prefix where its times are is refused: old readers take it for a path', (t) => {
  refuses(t, forgeArchive(forgeHeader({ format: 'gnu', name: 'rootfs/a', prefix: 'rootfs/deep' })), 'A4');
  t.is(check(forgeArchive(forgeHeader({ format: 'gnu', patch: { 345: octal(1), 357: octal(2) } }))), goodManifest);
});

test('a header without magic is read only in an archive that was recognised before', (t) => {
  t.is(check(forgeArchive(forgeEntry({ format: 'v7', prefix: 'x' }, 'content'))), goodManifest);
  refuses(t, Buffer.concat([forgeEntry({ name: 'manifest', format: 'v7' }, goodManifest), tarEnd]), 'A1');
  refuses(t, forgeArchive(forgeHeader({ patch: { 257: 'ustarX' } })), 'A4');
});

test('the ustar prefix comes before the name', (t) => {
  t.is(check(forgeArchive(forgeHeader({ prefix: 'rootfs/a', name: 'b' }))), goodManifest);
  refuses(t, forgeArchive(forgeHeader({ prefix: '..', name: 'rootfs/a' })), 'A10');
  refuses(t, forgeArchive(forgeHeader({ prefix: `rootfs/${'a'.repeat(130)}`, patch: { 508: 'tar\0' } })), 'A4');
});

test('a NUL inside a name is refused, in every name field', (t) => {
  refuses(t, forgeArchive(forgeHeader({ name: 'rootfs/a\0b' })), 'A10');
  refuses(t, forgeArchive(forgeHeader({ prefix: 'rootfs\0x', name: 'a' })), 'A10');
  refuses(t, forgeArchive(forgeHeader({ type: '2', linkName: 'a\0b' })), 'A10');
  refuses(t, forgeArchive(forgePax({ path: 'rootfs/a\0b' }), forgeHeader()), 'A10');
  refuses(t, forgeArchive(forgePax({ linkpath: 'a\0b' }), forgeHeader({ type: '2' })), 'A10');
  refuses(t, forgeArchive(forgeEntry({ type: 'L' }, 'rootfs/a\0b\0'), forgeHeader()), 'A10');
});

test('times that star and the tar of npm write after a prefix are not part of the path', (t) => {
  const times = (atime: string, ctime = atime) => ({ 476: atime, 488: ctime });
  const read = (prefix: string, patch: Readonly<Record<number, string>>): string | undefined => {
    let path: string | undefined;
    createTarReader(1024, (entry) => void ({ path } = entry)).push(forgeHeader({ prefix, name: 'a', patch }));
    return path;
  };
  const longest = `rootfs/${'p'.repeat(123)}`;
  for (const prefix of ['rootfs', longest]) {
    t.is(read(prefix, times('14523456701\0')), `${prefix}/a`);
    t.is(read(prefix, times('0452345670 \0', '14523456701 ')), `${prefix}/a`);
    t.is(read(prefix, { 476: '14523456701\0' }), `${prefix}/a`);
  }
  t.is(read(`${longest}pp/${'q'.repeat(20)}`, {}), `${longest}pp/${'q'.repeat(20)}/a`, 'a prefix of 155 bytes');
  refuses(t, forgeArchive(forgeHeader({ prefix: 'rootfs', name: 'a', patch: times('14523456789\0') })), 'A10');
  refuses(t, forgeArchive(forgeHeader({ prefix: 'rootfs', name: 'a', patch: times('1452345670\0\0') })), 'A10');
  refuses(
    t,
    forgeArchive(forgeHeader({ prefix: 'rootfs', name: 'a', patch: { 470: 'x', ...times('14523456701\0') } })),
    'A10',
  );
  refuses(
    t,
    forgeArchive(forgeHeader({ prefix: 'rootfs', name: 'a', patch: { 475: 'x', ...times('14523456701\0') } })),
    'A10',
  );
  const star = { ...times('14523456701\0'), 508: 'tar\0' };
  refuses(t, forgeArchive(forgeHeader({ prefix: `${longest}p`, name: 'a', patch: star })), 'A10');
});

test('a refusal of a path with a NUL shows the part before it', (t) => {
  const error = t.throws(() => check(forgeArchive(forgeHeader({ name: 'rootfs/a\0b' }))));
  t.regex(error.message, /entry rootfs\/a, byte/);
});

test('only files have content: sizes of directories are ignored, those of other types refused', (t) => {
  t.is(check(forgeArchive(forgeHeader({ name: 'rootfs/d', type: '5', size: 4096 }))), goodManifest);
  for (const type of ['1', '2', '3', '4', '6'])
    refuses(t, forgeArchive(forgeHeader({ type, size: 1, linkName: 'x' })), 'A5');
  refuses(t, forgeArchive(forgePax({ size: '1' }), forgeHeader({ type: '2', size: 1 })), 'A5');
});

test('entry types that are not files of a file system are refused and named', (t) => {
  for (const type of ['7', 'S', 'M', 'V', 'D', 'N', 'X', 'A', 'z', '8', '\xff']) {
    refuses(t, forgeArchive(forgeHeader({ type })), 'A12');
  }
  t.throws(() => check(forgeArchive(forgeHeader({ type: 'S' }))), { message: /GNU sparse file/ });
  refuses(t, forgeArchive(forgePax({ 'GNU.sparse.major': '1' }), forgeHeader()), 'A12');
  for (const sparse of [forgeHeader({ type: 'S' }), forgePax({ 'GNU.sparse.major': '1' })])
    t.throws(() => check(forgeArchive(sparse)), { message: /without -S/ });
});

test('a pax header changes only the entry that follows', (t) => {
  const long = `rootfs/${'a'.repeat(300)}`;
  const archive = forgeArchive(
    forgePax({ path: long, mtime: '1.5', uid: '10', comment: '', 'SCHILY.xattr.user.x': 'a\0b=\n' }),
    forgeEntry({ name: 'ignored' }, 'content'),
    forgeEntry({ name: 'rootfs/b' }, 'content'),
    forgePax({ linkpath: long }),
    forgeHeader({ name: 'rootfs/c', type: '1' }),
  );
  for (const size of [1, 100, 10_000]) t.is(check(archive, {}, size), goodManifest);
  refuses(t, forgeArchive(forgePax({ path: '../a' }), forgeHeader()), 'A10');
  t.is(check(forgeArchive(forgePax({ path: '' }), forgeHeader())), goodManifest, 'an empty value changes nothing');
});

test('a pax size must be the size in the header, unless it does not fit there', (t) => {
  t.is(check(forgeArchive(forgePax({ size: '7' }), forgeEntry({}, 'content'))), goodManifest);
  refuses(t, forgeArchive(forgePax({ size: '7' }), forgeEntry({ size: 0 }, 'content')), 'A6');
  refuses(t, forgeArchive(forgePax({ size: '0' }), forgeEntry({}, 'content')), 'A6');
  refuses(t, forgeArchive(forgePax({ size: '9'.repeat(30) }), forgeEntry({}, 'content')), 'A6');
  const huge = forgeArchive(forgePax({ size: String(8 * 2 ** 30) }), forgeEntry({}, 'content'));
  refuses(t, huge, 'A4');
});

const malformed: readonly [title: string, body: string | Buffer][] = [
  ['no length', 'path=rootfs/a\n'],
  ['a length that is too long', '30 path=rootfs/a\n'],
  ['a length that is too short', '10 path=rootfs/a\n'],
  ['a length with a sign', '+17 path=rootfs/a\n'],
  ['a length with leading zeros', '0018 path=rootfs/a\n'],
  ['no newline at its end', '17 path=rootfs/aX'],
  ['no equals sign', '8 path\n\n'],
  ['no key', Buffer.from('6 =ab\n')],
  ['bytes behind its records', Buffer.concat([paxRecord('path', 'rootfs/a'), Buffer.alloc(3)])],
  ['a path twice', Buffer.concat([paxRecord('path', 'rootfs/a'), paxRecord('path', 'rootfs/b')])],
  ['a size with a sign', paxRecord('size', '-1')],
  ['a size with a fraction', paxRecord('size', '0.5')],
  ['a time that is no number', paxRecord('mtime', 'now')],
  ['a NUL in a key', paxRecord('a\0b', 'x')],
];

for (const [title, body] of malformed) {
  test(`a pax header with ${title} is refused`, (t) => {
    refuses(t, forgeArchive(forgeEntry({ type: 'x' }, body), forgeHeader()), 'A6');
  });
}

test('a global pax header is accepted unless it affects the entries', (t) => {
  const comment = forgePax({ comment: 'made by hand', mtime: '1' }, { type: 'g' });
  t.is(check(Buffer.concat([comment, forgeArchive(comment, forgeHeader())])), goodManifest);
  for (const records of [{ path: 'rootfs/a' }, { linkpath: 'a' }, { size: '0' }]) {
    refuses(t, forgeArchive(forgePax(records, { type: 'g' }), forgeHeader()), 'A6');
  }
});

test('GNU long names are read', (t) => {
  const long = `rootfs/${'a'.repeat(300)}`;
  const archive = forgeArchive(
    forgeEntry({ name: '././@LongLink', type: 'L', format: 'gnu' }, `${long}\0`),
    forgeHeader({ name: long.slice(0, 100), format: 'gnu' }),
    forgeEntry({ name: '././@LongLink', type: 'K', format: 'gnu' }, `${long}\0`),
    forgeEntry({ name: '././@LongLink', type: 'L', format: 'gnu' }, `${long}b`),
    forgeHeader({ type: '1', format: 'gnu' }),
  );
  for (const size of [1, 100, 10_000]) t.is(check(archive, {}, size), goodManifest);
  refuses(t, forgeArchive(forgeEntry({ type: 'L' }, '\0\0'), forgeHeader()), 'A6');
  refuses(t, forgeArchive(forgeEntry({ type: 'L' }, 'rootfs/../a\0'), forgeHeader()), 'A10');
});

test('extension headers that readers combine differently are refused', (t) => {
  const pax = forgePax({ path: 'rootfs/a' });
  const global = forgePax({ comment: 'x' }, { type: 'g' });
  const long = forgeEntry({ type: 'L' }, 'rootfs/b\0');
  const link = forgeEntry({ type: 'K' }, 'rootfs/b\0');
  for (const pair of [
    [pax, pax],
    [pax, long],
    [long, pax],
    [long, long],
    [link, link],
    [pax, link],
    [pax, global],
    [long, global],
  ]) {
    refuses(t, forgeArchive(...pair, forgeHeader()), 'A6');
  }
});

test('an extension header without an entry after it is refused', (t) => {
  refuses(t, forgeArchive(forgePax({ path: 'rootfs/a' })), 'A6');
  refuses(t, forgeArchive(forgeEntry({ type: 'K' }, 'rootfs/b\0')), 'A6');
});

test('an extension header that claims a gigabyte is refused before it is read', (t) => {
  for (const type of ['x', 'g', 'L', 'K']) {
    const archive = Buffer.concat([forgeHeader({ type, size: 2 ** 30 }), Buffer.alloc(512)]);
    const error = t.throws(() => check(archive));
    t.true(hasCode(error, 'LIMIT_EXCEEDED'));
    if (hasCode(error, 'LIMIT_EXCEEDED')) t.is(error.details.limit, 'header');
  }
});
