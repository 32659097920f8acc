import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';

import { hasCode } from '../../../src/errors.ts';
import { forgeEntry, forgeHeader, forgePax, paxRecord, tarEnd } from '../../helpers/tar-forge.ts';
import { convertBlobs, convertLayers, layerOf, pack, requestFor, temporary } from './layers.ts';
import { formatTree, listImage } from './listing.ts';

const octal = (value: number, digits: number) => value.toString(8).padStart(digits, '0');
const forge = (...blocks: readonly Buffer[]) => pack(Buffer.concat([...blocks, tarEnd]));

/** The pax records before the first entry of that path, as text. */
function paxOf(tar: Buffer, header: Buffer): string {
  const at = tar.indexOf(header);
  return tar.subarray(at, at + 512 + header.length + 1024).toString('latin1');
}

test('mode, owner, time, device numbers and names are kept', async (t) => {
  const patch = {
    108: `${octal(1234, 7)}\0${octal(5678, 7)}\0`,
    136: `${octal(1_700_000_000, 11)}\0`,
    265: 'daemon',
    297: 'staff',
    329: `${octal(10, 7)}\0${octal(229, 7)}\0`,
  };
  const layer = forge(
    forgeEntry({ name: 'suid', mode: 0o6755, patch }, 'x'),
    forgeEntry({ name: 'none', mode: 0, patch }, 'x'),
    forgeHeader({ name: 'fuse', type: '3', mode: 0o666, patch }),
    forgeHeader({ name: 'disk', type: '4', mode: 0o660, patch }),
    forgeHeader({ name: 'pipe', type: '6', mode: 0o600, patch }),
    forgeHeader({ name: 'tmp/', type: '5', mode: 0o1777, patch }),
  );
  const { tar } = await convertLayers(t, [layer]);
  const file = join(await temporary(t), 'image.tar');
  await writeFile(file, tar);
  const list = execFileSync('tar', ['-tvf', file, '--full-time', '--utc'], { encoding: 'utf8' }).split('\n');
  t.deepEqual(list.map((line) => line.replace(/ +/g, ' ')).slice(2), [
    'brw-rw---- daemon/staff 10,229 2023-11-14 22:13:20 rootfs/disk',
    'crw-rw-rw- daemon/staff 10,229 2023-11-14 22:13:20 rootfs/fuse',
    '---------- daemon/staff 1 2023-11-14 22:13:20 rootfs/none',
    'prw------- daemon/staff 0 2023-11-14 22:13:20 rootfs/pipe',
    '-rwsr-sr-x daemon/staff 1 2023-11-14 22:13:20 rootfs/suid',
    'drwxrwxrwt daemon/staff 0 2023-11-14 22:13:20 rootfs/tmp/',
    '',
  ]);
  const suid = listImage(tar).find(({ path }) => path === 'rootfs/suid');
  t.like(suid?.attributes, { uid: 1234, gid: 5678 });
});

test('values that do not fit into a header are kept in pax records', async (t) => {
  const long = `${'d'.repeat(120)}/${'é'.repeat(60)}`;
  const records = { mtime: '1700000000.123456789', uid: '3000000', gid: '4000000', uname: 'u'.repeat(40) };
  const layer = forge(
    forgePax({ ...records, path: long }),
    forgeEntry({ name: 'short' }, 'content'),
    forgePax({ linkpath: `/${'t'.repeat(150)}` }),
    forgeHeader({ name: 'link', type: '2', linkName: 'cut' }),
    forgePax({ mtime: '-1.50' }),
    forgeEntry({ name: 'old' }),
    forgePax({ mtime: '5000000000000.000' }),
    forgeEntry({ name: 'late' }),
  );
  const { tar } = await convertLayers(t, [layer]);
  const listed = new Map(listImage(tar).map((entry) => [entry.path, entry]));
  const path = Buffer.from(`rootfs/${long}`).toString('latin1');
  t.like(listed.get(path)?.attributes, { uid: 3_000_000, gid: 4_000_000 });
  t.is(listed.get(path)?.content, 'content');
  t.is(listed.get('rootfs/link')?.linkPath, `/${'t'.repeat(150)}`);
  t.is(listed.get('rootfs/old')?.attributes.mtime, -1.5);
  t.is(listed.get('rootfs/late')?.attributes.mtime, 5_000_000_000_000);
  const text = tar.toString('latin1');
  t.true(text.includes(' mtime=1700000000.123456789\n'));
  t.true(text.includes(' mtime=-1.5\n'));
  t.true(text.includes(` uname=${'u'.repeat(40)}\n`));
});

test('names and attributes are bytes, not text', async (t) => {
  const capability = Buffer.from('0100000200a40000000000000000000000ff0a3d', 'hex').toString('latin1');
  const records = `SCHILY.xattr.security.capability=${capability}`;
  const length = records.length + 4;
  const layer = forge(
    forgeEntry({ name: 'PaxHeaders/x', type: 'x' }, Buffer.from(`${length} ${records}\n`, 'latin1')),
    forgeEntry({ name: 'caf\xe9\xff' }, 'latin'),
    forgePax({ comment: 'not kept', atime: '1', 'SCHILY.dev': '7', 'SCHILY.acl.access': 'user::rwx' }),
    forgeEntry({ name: 'acl' }, ''),
  );
  const { tar } = await convertLayers(t, [layer]);
  t.deepEqual(
    listImage(tar).map(({ path }) => path),
    ['manifest', 'rootfs/', 'rootfs/acl', 'rootfs/caf\xe9\xff'],
  );
  t.true(paxOf(tar, Buffer.from('PaxHeader\0')).includes('SCHILY.acl.access=user::rwx\n'));
  t.true(tar.toString('latin1').includes(`${length} ${records}\n`));
  t.notRegex(tar.toString('latin1'), /comment|atime|SCHILY\.dev/);
});

test('a directory has the attributes of its topmost entry, the root too', async (t) => {
  const lower = await layerOf([
    { name: './', type: 'directory', mode: 0o700 },
    { name: 'd/', type: 'directory', mode: 0o711 },
    { name: 'd/o', content: 'O' },
    { name: 'e/', type: 'directory', mode: 0o711 },
  ]);
  const upper = await layerOf([
    { name: '/', type: 'directory', mode: 0o755, uid: 7 },
    { name: 'd/', type: 'directory', mode: 0o2750 },
    { name: 'e/n', content: 'N' },
    { name: 'new/n', content: 'N', uid: 9 },
  ]);
  const { tar } = await convertLayers(t, [lower, upper]);
  const found = listImage(tar).flatMap(({ kind, path, attributes: { mode, uid } }) =>
    kind === 'directory' ? [[path, mode.toString(8), uid]] : [],
  );
  t.deepEqual(found, [
    ['rootfs/', '755', 7],
    ['rootfs/d/', '2750', 0],
    ['rootfs/e/', '711', 0],
    ['rootfs/new/', '755', 0],
  ]);
});

test('a layer may be an old tar, without the magic of ustar', async (t) => {
  const old = { format: 'v7' } as const;
  const layer = forge(
    forgeHeader({ ...old, name: 'd/', type: '\0', mode: 0o711 }),
    forgeEntry({ ...old, name: 'd/f', type: '\0' }, 'content'),
    forgeHeader({ ...old, name: 'l', type: '2', linkName: 'd' }),
  );
  const { tar } = await convertLayers(t, [layer, await layerOf('l/new=N')]);
  t.deepEqual(
    listImage(tar)
      .map(({ kind, path, content }) => `${kind} ${path} ${content ?? ''}`.trim())
      .slice(1),
    ['directory rootfs/', 'directory rootfs/d/', 'file rootfs/d/f content', 'file rootfs/d/new N', 'symlink rootfs/l'],
  );
});

/** A file of 3,000 bytes with `abc` at 512 and `de` at 2,998, as GNU tar writes it in three versions of its form for pax. */
const holes = Buffer.from(`${'\0'.repeat(512)}abc${'\0'.repeat(2483)}de`).toString('latin1');
const sparseForms = {
  '0.0': Buffer.concat([
    forgeEntry(
      { name: 'PaxHeaders/s', type: 'x' },
      Buffer.concat(
        [
          ['size', '3000'],
          ['numblocks', '2'],
          ['offset', '512'],
          ['numbytes', '3'],
          ['offset', '2998'],
          ['numbytes', '2'],
        ].map(([key = '', value = '']) => paxRecord(`GNU.sparse.${key}`, value)),
      ),
    ),
    forgeEntry({ name: 's' }, 'abcde'),
  ]),
  0.1: Buffer.concat([
    forgePax({
      'GNU.sparse.size': '3000',
      'GNU.sparse.numblocks': '2',
      'GNU.sparse.name': 's',
      'GNU.sparse.map': '512,3,2998,2',
    }),
    forgeEntry({ name: 'GNUSparseFile.0/s' }, 'abcde'),
  ]),
  '1.0': sparseEntry('2\n512\n3\n2998\n2\n'),
};

function sparseEntry(map: string, realsize = 3000, content = 'abcde'): Buffer {
  const records = { major: '1', minor: '0', name: 's', realsize: String(realsize) };
  const pax = Object.fromEntries(Object.entries(records).map(([key, value]) => [`GNU.sparse.${key}`, value]));
  const padded = map.padEnd(Math.ceil(map.length / 512) * 512, '\0');
  return Buffer.concat([forgePax(pax), forgeEntry({ name: 'GNUSparseFile.0/s' }, `${padded}${content}`)]);
}

for (const [version, entry] of Object.entries(sparseForms)) {
  test(`a sparse file in pax form has its holes as zeros: version ${version}`, async (t) => {
    const { tar } = await convertLayers(t, [forge(entry, forgeEntry({ name: 't' }, 'next'))]);
    t.like(listImage(tar).slice(2), [
      { path: 'rootfs/s', size: 3000, content: holes },
      { path: 'rootfs/t', content: 'next' },
    ]);
  });
}

test('a sparse file may be all hole, or have no hole, and no more than the limit of what is unpacked', async (t) => {
  const many = Array.from({ length: 200 }, (_, at) => `${at}\n1\n`).join('');
  const full = forge(sparseEntry('1\n5\n0\n', 5, ''), sparseEntry(`200\n${many}`, 200, 'x'.repeat(200)));
  t.is(listImage((await convertLayers(t, [full])).tar).at(-1)?.content, 'x'.repeat(200));
  t.is(listImage((await convertLayers(t, [forge(sparseEntry('0\n', 5, ''))])).tar).at(-1)?.content, '\0'.repeat(5));
  const huge = await t.throwsAsync(convertLayers(t, [forge(sparseEntry('1\n4000000000000000\n0\n', 4e15, ''))]));
  t.true(hasCode(huge, 'LIMIT_EXCEEDED') && huge.details.limit === 'unpacked', String(huge));
});

test('headers that readers interpret differently are refused', async (t) => {
  const cases = [
    [forge(forgeHeader({ name: 'sparse', type: 'S' })), 'A12'],
    [forge(forgePax({ 'GNU.sparse.major': '1' }), forgeEntry({ name: 'sparse' })), 'A12'],
    [forge(sparseEntry('2\n512\n3\n2998\n2\n'), forgePax({ 'GNU.sparse.size': '1' }), forgeEntry()), 'A6'],
    [forge(sparseEntry('2\n512\n3\n2998\n')), 'A6'],
    [forge(sparseEntry('2\n512\n3\n514\n2\n')), 'A6'],
    [forge(sparseEntry('2\n512\n3\n2999\n2\n')), 'A6'],
    [forge(sparseEntry('2\n512\n3\n2998\n1\n')), 'A6'],
    [forge(sparseEntry('x\n')), 'A6'],
    [forge(forgePax({ 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0' }), forgeEntry({ name: 's' })), 'A6'],
    [forge(sparseForms['0.1'].subarray(0, 1024), forgeHeader({ name: 'd/', type: '5' })), 'A12'],
    [forge(forgePax({ 'GNU.sparse.major': '2', 'GNU.sparse.minor': '0' }), forgeEntry({ name: 's' })), 'A12'],
    [forge(forgePax({ 'GNU.sparse.size': '5' }, { type: 'g' }), forgeEntry({ name: 's' })), 'A12'],
    [forge(forgeHeader({ name: 'socket', type: 's' })), 'A12'],
    [forge(forgePax({ mtime: '9'.repeat(40) }), forgeEntry({ name: 'never' })), 'A6'],
    [forge(forgePax({ uid: '9'.repeat(40) }), forgeEntry({ name: 'nobody' })), 'A6'],
    [forge(forgeHeader({ name: 'device', type: '3', patch: { 329: '\x80\0\0\0\x10\0\0\0' } })), 'A4'],
    [pack(Buffer.concat([forgeEntry({ name: 'a-file' }), Buffer.alloc(100), Buffer.from('x')])), 'A4'],
    [pack(Buffer.concat([forgeEntry({ name: 'one-block' }), Buffer.alloc(512), forgeEntry()])), 'A7'],
    [pack(forgeEntry({ name: 'cut' }, 'x').subarray(0, 512)), 'A4'],
    [pack(forgeHeader({ name: 'cut' }).subarray(0, 511)), 'A4'],
    [pack(Buffer.concat([forgeHeader({ name: 'cut', size: 5000 }), tarEnd])), 'A4'],
    [pack(Buffer.concat([forgeEntry({ name: 'more' }), tarEnd, Buffer.from('behind')])), 'A7'],
  ] as const;
  for (const [layer, rule] of cases) {
    const error = await t.throwsAsync(convertBlobs(await requestFor(t, [layer])));
    t.true(hasCode(error, 'ARCHIVE_INVALID'), String(error));
    if (hasCode(error, 'ARCHIVE_INVALID')) t.is(error.details.rule, rule, error.message);
  }
});

test('a layer may end after any content, without padding and without the closing blocks', async (t) => {
  const entry = forgeEntry({ name: 'a' }, 'x');
  const ends = [Buffer.alloc(0), Buffer.alloc(100), Buffer.alloc(512), Buffer.alloc(600), tarEnd, Buffer.alloc(10_240)];
  for (const tar of [...ends.map((end) => Buffer.concat([entry, end])), entry.subarray(0, 513), entry.subarray(0, 700)])
    t.is(formatTree((await convertLayers(t, [pack(tar), await layerOf('b=B')])).tar), 'a=x b=B');
});

test('a file whose path ends with a slash is a file or a directory by its type, as for Go', async (t) => {
  const layer = forge(forgeEntry({ name: 'file/' }, 'x'), forgeEntry({ name: 'directory/', type: '\0' }));
  t.is(formatTree((await convertLayers(t, [layer])).tar), 'directory/ file=x');
});
