import test, { type ExecutionContext } from 'ava';

import { hasCode } from '../../../src/errors.ts';
import { buildAci, buildTar } from '../../helpers/archive.ts';
import { forgeArchive, forgeEntry, forgeHeader, forgePax, goodManifest, tarEnd } from '../../helpers/tar-forge.ts';
import { check } from './check.ts';

const manifest = forgeEntry({ name: 'manifest' }, goodManifest);
const rootfs = forgeHeader({ name: 'rootfs', type: '5' });
const file = (name: string) => forgeEntry({ name }, 'content');
const directory = (name: string) => forgeHeader({ name, type: '5' });
const symlink = (name: string, linkName: string) => forgeHeader({ name, type: '2', linkName });
const hardLink = (name: string, linkName: string) => forgeHeader({ name, type: '1', linkName });

function tar(...entries: readonly Uint8Array[]): Buffer {
  return Buffer.concat([...entries, tarEnd]);
}

function refuses(t: ExecutionContext, archive: Uint8Array, rule: string): void {
  const error = t.throws(() => check(archive));
  t.true(hasCode(error, 'ARCHIVE_INVALID'), String(error));
  if (hasCode(error, 'ARCHIVE_INVALID')) t.is(error.details.rule, rule, error.message);
}

const accepted: readonly [title: string, archive: Buffer][] = [
  ['Z1: manifest and rootfs', tar(manifest, rootfs)],
  ['Z2: the manifest last', tar(rootfs, file('rootfs/a'), manifest)],
  [
    'Z3: everything below ./',
    tar(directory('./'), forgeEntry({ name: './manifest' }, goodManifest), directory('./rootfs/'), file('./rootfs/a')),
  ],
  ['Z13: rootfs/manifest is an ordinary file', forgeArchive(file('rootfs/manifest'))],
  ['Z14: a hard link to an earlier file', forgeArchive(file('rootfs/a'), hardLink('rootfs/b', 'rootfs/a'))],
  ['Z22: a character device', forgeArchive(forgeHeader({ name: 'rootfs/dev/null', type: '3' }))],
  ['a symlink that points anywhere', forgeArchive(symlink('rootfs/a', '/../../etc'))],
  ['a hard link to a symlink', forgeArchive(symlink('rootfs/a', 'x'), hardLink('rootfs/b', './rootfs/a'))],
  [
    'a block device and a fifo',
    forgeArchive(forgeHeader({ name: 'rootfs/a', type: '4' }), forgeHeader({ name: 'rootfs/b', type: '6' })),
  ],
  ['a directory without an entry of its own', forgeArchive(file('rootfs/a/b/c'))],
  ['a directory whose entry comes after what is in it', forgeArchive(file('rootfs/a/b'), directory('rootfs/a'))],
  [
    'paths that differ in case or Unicode form only',
    forgeArchive(file('rootfs/a'), file('rootfs/A'), file('rootfs/é'), file('rootfs/e\u0301')),
  ],
  [
    'names with dots in them',
    forgeArchive(file('rootfs/...'), file('rootfs/.a'), file('rootfs/..b'), file('rootfs/a..')),
  ],
  ['backslashes and spaces', forgeArchive(file('rootfs/a\\..\\b'), file('rootfs/ '))],
];

for (const [title, archive] of accepted) {
  test(`accepted, in chunks of any size: ${title}`, (t) => {
    for (const size of [1, 7, 511, 512, 513, 65_536]) t.is(check(archive, {}, size), goodManifest);
  });
}

const refused: readonly [title: string, rule: string, archive: Buffer][] = [
  ['Z4: no rootfs entry', 'A9', tar(manifest, file('rootfs/a'))],
  ['Z5: no manifest', 'A8', tar(rootfs)],
  ['an archive without entries', 'A8', tarEnd],
  ['Z6: a path beside rootfs', 'A10', forgeArchive(file('extra'))],
  ['Z7: rootfs is a file', 'A9', tar(manifest, file('rootfs'))],
  ['Z8: a path twice', 'A11', forgeArchive(file('rootfs/a'), file('rootfs/a'))],
  ['Z9: a path twice, once with ./', 'A11', forgeArchive(file('rootfs/a'), file('./rootfs/a'))],
  ['a directory twice, once with a slash', 'A11', forgeArchive(directory('rootfs/a'), directory('rootfs/a/'))],
  ['the top of the archive twice', 'A11', forgeArchive(directory('./'), directory('.'))],
  ['Z10: absolute paths', 'A10', tar(forgeEntry({ name: '/manifest' }, goodManifest), directory('/rootfs'))],
  ['Z11: a path that climbs', 'A10', forgeArchive(file('rootfs/../../etc/passwd'))],
  ['a path that climbs at its end', 'A10', forgeArchive(directory('rootfs/a/..'))],
  ['a path with a dot part', 'A10', forgeArchive(file('rootfs/./a'))],
  ['two leading ./', 'A10', forgeArchive(file('././rootfs/a'))],
  ['Z16: a sibling that starts like rootfs', 'A10', forgeArchive(file('rootfsfoo/x'))],
  ['Z17: rootfs is a symlink', 'A9', tar(manifest, symlink('rootfs', '/etc'))],
  ['Z18: ../x', 'A10', forgeArchive(file('../x'))],
  ['Z19: a manifest in capitals', 'A10', tar(forgeEntry({ name: 'MANIFEST' }, goodManifest), rootfs)],
  ['Z20: an entry below the manifest', 'A10', forgeArchive(file('manifest/x'))],
  ['Z21: empty parts', 'A10', forgeArchive(file('rootfs//a//b'))],
  ['a lone slash', 'A10', forgeArchive(directory('/'))],
  ['the top with an empty part', 'A10', forgeArchive(directory('.//'))],
  ['the top with a dot part', 'A10', forgeArchive(directory('./.'))],
  ['two trailing slashes', 'A10', forgeArchive(directory('rootfs/a//'))],
  ['an empty path', 'A10', forgeArchive(file(''))],
  ['the top of the archive as a file', 'A10', forgeArchive(file('./'))],
  ['two manifests', 'A8', forgeArchive(file('./manifest'))],
  ['two rootfs', 'A9', forgeArchive(directory('rootfs/'))],
  ['the manifest is a symlink', 'A8', tar(symlink('manifest', 'rootfs/m'), rootfs)],
  ['the manifest is a hard link', 'A8', forgeArchive(hardLink('manifest', 'rootfs/m')).subarray(1024)],
  ['the manifest is a directory', 'A8', tar(directory('manifest'), rootfs)],
  ['an entry below a symlink', 'A12', forgeArchive(symlink('rootfs/a', '/etc'), file('rootfs/a/b'))],
  ['an entry deep below a symlink', 'A12', forgeArchive(symlink('rootfs/a', '/etc'), file('rootfs/a/b/c/d'))],
  ['a symlink that comes after what is below it', 'A12', forgeArchive(file('rootfs/a/b'), symlink('rootfs/a', '/etc'))],
  ['a symlink in place of a listed directory', 'A11', forgeArchive(directory('rootfs/a'), symlink('rootfs/a', '/etc'))],
  ['an entry below a file', 'A12', forgeArchive(file('rootfs/a'), file('rootfs/a/b'))],
  [
    'an entry below a second name of a symlink',
    'A12',
    forgeArchive(symlink('rootfs/a', '/etc'), hardLink('rootfs/b', 'rootfs/a'), file('rootfs/b/c')),
  ],
  ['a hard link to a later entry', 'A12', forgeArchive(hardLink('rootfs/b', 'rootfs/a'), file('rootfs/a'))],
  ['a hard link to itself', 'A12', forgeArchive(hardLink('rootfs/a', 'rootfs/a'))],
  ['a hard link to nothing', 'A12', forgeArchive(hardLink('rootfs/b', 'rootfs/a'))],
  ['a hard link to a directory', 'A12', forgeArchive(directory('rootfs/a'), hardLink('rootfs/b', 'rootfs/a'))],
  [
    'a hard link to a directory that is only implied',
    'A12',
    forgeArchive(file('rootfs/a/x'), hardLink('rootfs/b', 'rootfs/a')),
  ],
  ['a hard link out of rootfs', 'A10', forgeArchive(hardLink('rootfs/b', '/etc/passwd'))],
  ['a hard link that climbs', 'A10', forgeArchive(hardLink('rootfs/b', 'rootfs/../manifest'))],
  ['a hard link to the manifest', 'A10', forgeArchive(hardLink('rootfs/b', 'manifest'))],
  ['a file whose name ends in a slash', 'A12', forgeArchive(file('rootfs/a/'))],
];

for (const [title, rule, archive] of refused) {
  test(`refused by ${rule}: ${title}`, (t) => {
    refuses(t, archive, rule);
    t.throws(() => check(archive, {}, 100), { code: 'ARCHIVE_INVALID' });
  });
}

test('a refusal names the entry, safe to print, and its position', (t) => {
  const error = t.throws(() => check(forgeArchive(file('rootfs/../\x1b[2J\u00e9'))));
  t.true(hasCode(error, 'ARCHIVE_INVALID'));
  if (!hasCode(error, 'ARCHIVE_INVALID')) return;
  t.is(error.details.entry, String.raw`rootfs/../\x1b[2J` + Buffer.from('\u00e9', 'latin1').toString('utf8'));
  t.is(error.details.offset, 1536);
  t.notRegex(error.message, /[\x00-\x1f]/);
});

test('limits are named as on the command line', (t) => {
  const cases = [
    [{ manifestBytes: 10 }, 'manifest', 10],
    [{ entries: 2 }, 'entries', 2],
    [{ pathBytes: 40 }, 'path', 40],
    [{ headerBytes: 20 }, 'header', 20],
  ] as const;
  const archive = forgeArchive(
    file('rootfs/a'),
    forgePax({ path: `rootfs/${'b'.repeat(60)}` }),
    file('rootfs/b'),
    file('rootfs/c'),
  );
  t.is(check(archive), goodManifest);
  for (const [limits, limit, maximum] of cases) {
    const error = t.throws(() => check(archive, limits));
    t.true(hasCode(error, 'LIMIT_EXCEEDED'), String(error));
    if (hasCode(error, 'LIMIT_EXCEEDED')) t.deepEqual(error.details, { limit, maximum });
  }
});

test('directories that only occur in paths count as entries', (t) => {
  const archive = forgeArchive(file(`rootfs/${'d/'.repeat(40)}x`));
  t.is(check(archive, { entries: 43 }), goodManifest);
  t.throws(() => check(archive, { entries: 42 }), { code: 'LIMIT_EXCEEDED' });
});

test('a manifest of a gigabyte is refused before it is read', (t) => {
  const archive = Buffer.concat([forgeHeader({ name: 'manifest', size: 2 ** 30 }), Buffer.alloc(512)]);
  t.throws(() => check(archive), { code: 'LIMIT_EXCEEDED' });
});

test('archives written by tar-stream are accepted, with long names and large numbers', async (t) => {
  const { tar: small, manifest: text } = await buildAci({
    name: 'example.com/a',
    files: { a: 'x', b: '' },
    size: 100_000,
    manifestPosition: 'last',
  });
  t.is(check(small), text);
  const long = 'd/'.repeat(60);
  const tar = await buildTar([
    { name: 'manifest', content: goodManifest },
    { name: 'rootfs/', type: 'directory' },
    { name: `rootfs/${long}${'n'.repeat(200)}`, content: 'x', uid: 3_000_000 },
    { name: `rootfs/${'é'.repeat(120)}`, type: 'symlink', linkname: 't'.repeat(300) },
    { name: 'rootfs/l', type: 'link', linkname: `rootfs/${long}${'n'.repeat(200)}` },
  ]);
  t.is(check(tar), goodManifest);
});
