import { execFileSync } from 'node:child_process';

import test from 'ava';
import fc from 'fast-check';

import {
  type EntryHead,
  formatHeader,
  type FormattedEntry,
  padding,
  readEntryHead,
} from '../../../workers/convert/entry-head.ts';
import type { TarEntry } from '../../../workers/tar/extensions.ts';
import { createTarReader } from '../../../workers/tar/tar-reader.ts';
import { tarEnd } from '../../helpers/tar-forge.ts';

const bytes = (max: number) =>
  fc
    .uint8Array({ minLength: 1, maxLength: max })
    .map((array) => Buffer.from(array.map((byte) => byte || 1)).toString('latin1'));
const time = fc
  .tuple(fc.bigInt(-(2n ** 50n), 2n ** 50n), fc.option(fc.integer({ min: 1, max: 999_999_999 })))
  .map(([whole, nano]) =>
    nano === null ? String(whole) : `${whole}.${String(nano).padStart(9, '0').replace(/0+$/, '')}`,
  );
const device = fc.integer({ min: 0, max: 0o7777777 });

const entries: fc.Arbitrary<FormattedEntry> = fc
  .record({
    kind: fc.constantFrom('file', 'directory', 'symlink', 'hard-link', 'fifo', 'character-device', 'block-device'),
    path: bytes(300),
    link: bytes(300),
    size: fc.oneof(fc.nat(2000), fc.maxSafeNat()),
    mode: fc.integer({ min: 0, max: 0o7777 }),
    uid: fc.oneof(fc.nat(70_000), fc.maxSafeNat(), fc.constant(-2)),
    gid: fc.oneof(fc.nat(70_000), fc.maxSafeNat()),
    mtime: time,
    numbers: fc.tuple(device, device),
    names: fc.tuple(fc.oneof(fc.constant(''), bytes(50)), fc.oneof(fc.constant(''), bytes(50))),
    value: fc.uint8Array({ maxLength: 120 }).map((value) => Buffer.from(value).toString('latin1')),
  })
  .map(({ kind, path, link, size, numbers, names, value, ...rest }) => {
    const isDevice = kind === 'character-device' || kind === 'block-device';
    const [major, minor] = isDevice ? numbers : [0, 0];
    const records = value === '' ? [] : [['SCHILY.xattr.user.x', value] as const];
    const head: EntryHead = { ...rest, major, minor, userName: names[0], groupName: names[1], records };
    const linkPath = kind === 'symlink' || kind === 'hard-link' ? link : '';
    return { kind, path, linkPath, size: kind === 'file' ? size : 0, head } as const;
  });

test('every entry is read again as it was written', (t) => {
  fc.assert(
    fc.property(entries, (entry) => {
      const header = formatHeader(entry);
      let found: TarEntry | undefined;
      createTarReader(1024 * 1024, (read) => void (found = read)).push(header);
      const { kind, path, linkPath, size } = entry;
      t.like(found, { kind, path, linkPath, size });
      const place = { layer: 0, start: 0, offset: header.length - 512 };
      t.deepEqual(
        readEntryHead(place, (at, length) => header.subarray(at, at + length)),
        entry.head,
      );
    }),
    { numRuns: 300 },
  );
});

test('GNU tar reads the written headers, also large and unusual values', (t) => {
  const head: EntryHead = {
    mode: 0o1751,
    uid: 3_000_000,
    gid: 70_000,
    mtime: '1700000000.5',
    major: 0,
    minor: 0,
    userName: '',
    groupName: '',
    records: [],
  };
  const content = Buffer.from('content');
  const path = `rootfs/${'long/'.repeat(40)}caf\xe9`;
  const tar = Buffer.concat([
    formatHeader({ kind: 'file', path, linkPath: '', size: content.length, head }),
    content,
    padding(content.length),
    formatHeader({ kind: 'hard-link', path: 'rootfs/b', linkPath: path, size: 0, head: { ...head, mtime: '-1' } }),
    tarEnd,
  ]);
  const list = execFileSync(
    'tar',
    ['-tvf', '-', '--numeric-owner', '--full-time', '--utc', '--quoting-style=literal'],
    {
      input: tar,
      encoding: 'latin1',
    },
  );
  t.deepEqual(list.trimEnd().replace(/ +/g, ' ').split('\n'), [
    `-rwxr-x--t 3000000/70000 7 2023-11-14 22:13:20.5 ${path}`,
    `hrwxr-x--t 3000000/70000 0 1969-12-31 23:59:59 rootfs/b link to ${path}`,
  ]);
});
