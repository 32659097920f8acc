import { execFileSync, spawnSync } from 'node:child_process';
import { lstatSync } from 'node:fs';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';

import { defaultLimits } from '../../src/image/limits.ts';
import { extractImage } from '../../src/images/extract.ts';
import { putTar } from '../helpers/put-tar.ts';
import { sharedContext } from '../helpers/store-context.ts';
import { temporaryDirectory } from '../helpers/stored.ts';
import { forgeArchive, forgeEntry, forgeHeader, forgePax } from '../helpers/tar-forge.ts';

const { store, pool } = await sharedContext();
const isRoot = process.geteuid?.() === 0;
const hasTools = ['setfattr', 'getfattr'].every((program) => spawnSync(program, ['--version']).status === 0);
const withTools = hasTools ? test : test.skip;
const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex').toString('latin1');
/** Records are bytes, as latin1 text; forgePax takes text. */
const bytes = (text: string) => Buffer.from(text, 'latin1');

async function extract(t: ExecutionContext, tar: Buffer, rootfsOnly = true) {
  const target = join(await temporaryDirectory(t), 'tree');
  const image = await putTar(store, { name: 'example.com/app', tar });
  const request = { image, target, overwrite: false, rootfsOnly, limits: defaultLimits };
  const report = await extractImage({ store, pool }, request, new AbortController().signal);
  return { target, report };
}

/** By hex value. */
function xattrsOf(path: string): Readonly<Record<string, string>> {
  const text = execFileSync('getfattr', ['-h', '-d', '-m', '-', '-e', 'hex', '--absolute-names', path], {
    encoding: 'latin1',
  });
  return Object.fromEntries(
    Array.from(text.matchAll(/^([^#=\n]+)=0x(.*)$/gm), ([, name = '', value = '']) => [name, value]),
  );
}

/** One pax record of which the value is bytes. */
function paxBytes(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from('\n')]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return forgeEntry({ name: 'PaxHeaders/x', type: 'x' }, Buffer.concat([Buffer.from(String(length)), rest]));
}

withTools('extended attributes are restored, whatever bytes they and their paths hold', async (t) => {
  const value = '\0\n"\\=\xff# file: x';
  const { target, report } = await extract(
    t,
    forgeArchive(
      forgePax({ 'SCHILY.xattr.user.directory': 'd' }),
      forgeHeader({ name: 'rootfs/d', type: '5', mode: 0o555 }),
      paxBytes('SCHILY.xattr.user.odd\n\\name', bytes(value)),
      forgeEntry({ name: 'rootfs/d/a\n\\ b', mode: 0o444 }, 'content'),
      forgePax({ 'SCHILY.xattr.user.empty': '', 'SCHILY.xattr.user.two': '2' }),
      forgeEntry({ name: 'rootfs/two' }),
      forgePax({
        'LIBARCHIVE.xattr.user.a%2Fb': 'aGk',
        'SCHILY.xattr.user.c': 'star',
        'LIBARCHIVE.xattr.user.c': 'eA',
      }),
      forgeEntry({ name: 'rootfs/libarchive' }),
    ),
  );
  t.deepEqual(report.withoutXattrs, { count: 0, paths: [] });
  const file = join(target, 'd/a\n\\ b');
  t.deepEqual(Object.values(xattrsOf(file)), [bytes(value).toString('hex')]);
  t.is(lstatSync(file).mode & 0o777, 0o444);
  t.is(lstatSync(join(target, 'd')).mode & 0o777, 0o555);
  t.deepEqual(xattrsOf(join(target, 'd')), { 'user.directory': '64' });
  t.like(xattrsOf(join(target, 'two')), { 'user.two': '32' });
  t.deepEqual(xattrsOf(join(target, 'libarchive')), { 'user.a/b': '6869', 'user.c': bytes('star').toString('hex') });
  execFileSync('chmod', ['-R', 'u+w', target]);
});

(isRoot ? withTools : test.skip)('file capabilities are restored by root', async (t) => {
  const pax = paxBytes('SCHILY.xattr.security.capability', bytes(capability));
  const { target, report } = await extract(
    t,
    forgeArchive(pax, forgeEntry({ name: 'rootfs/ping', mode: 0o755, patch: { 108: '0000007\0' } }, 'x')),
  );
  t.is(report.withoutXattrs.count, 0);
  t.deepEqual(xattrsOf(join(target, 'ping')), { 'security.capability': bytes(capability).toString('hex') });
  t.is(lstatSync(join(target, 'ping')).uid, 7);
});

withTools(
  'attributes that cannot be set are named by the paths in the image, and nothing behind a symlink is touched',
  async (t) => {
    const outside = join(await temporaryDirectory(t), 'outside');
    execFileSync('touch', [outside]);
    const tar = forgeArchive(
      forgePax({ 'SCHILY.xattr.user.good': '1', 'SCHILY.xattr.nonsense': '2' }),
      forgeEntry({ name: 'rootfs/file' }),
      forgePax({ 'SCHILY.xattr.user.link': '1' }),
      forgeHeader({ name: 'rootfs/symlink', type: '2', linkName: outside }),
      forgePax({ 'SCHILY.xattr.user.good': '1' }),
      forgeEntry({ name: 'rootfs/other' }),
      forgePax({ 'SCHILY.xattr.security.selinux': 'x', 'SCHILY.xattr.user.overlay.opaque': 'y' }),
      forgeEntry({ name: 'rootfs/of-another-system' }),
    );
    for (const rootfsOnly of [true, false]) {
      const { target, report } = await extract(t, tar, rootfsOnly);
      t.deepEqual(report.withoutXattrs, { count: 2, paths: ['rootfs/file', 'rootfs/symlink'] });
      const root = rootfsOnly ? target : join(target, 'rootfs');
      t.deepEqual(xattrsOf(join(root, 'file')), { 'user.good': '31' });
      t.deepEqual(xattrsOf(join(root, 'of-another-system')), {});
    }
    t.deepEqual(xattrsOf(outside), {});
  },
);

const seconds = fc.oneof(fc.integer({ min: -(10 ** 9), max: 2 ** 31 - 1 }), fc.constant(1_700_000_000));
const digits = fc.oneof(
  fc.stringMatching(/^[0-9]{1,9}$/),
  fc.constantFrom('999999999', '123456', '000001', '125', '999999'),
);

const floor = (nanoseconds: bigint) => (nanoseconds - (((nanoseconds % 1000n) + 1000n) % 1000n)) / 1000n;

test('times are restored exactly to the microsecond, and otherwise to a quarter of one', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(seconds, digits), { minLength: 20, maxLength: 20 }), async (times) => {
      const texts = times.map(([whole, fraction]) => `${whole}.${fraction}`);
      const entries = texts.flatMap((mtime, index) => {
        const type = ['0', '5', '2'][index % 3] ?? '0';
        return [forgePax({ mtime }), forgeHeader({ name: `rootfs/${index}`, type, linkName: 'x' })];
      });
      const { target } = await extract(t, forgeArchive(...entries));
      for (const [index, [whole, fraction]] of times.entries()) {
        const part = BigInt(fraction.padEnd(9, '0'));
        const wanted = BigInt(whole) * 1_000_000_000n + (whole < 0 ? -part : part);
        const { mtimeNs } = lstatSync(join(target, String(index)), { bigint: true });
        const off = mtimeNs > wanted ? mtimeNs - wanted : wanted - mtimeNs;
        t.true(off < 250n, `${texts[index]}: ${mtimeNs}`);
        t.is(floor(mtimeNs), floor(wanted), texts[index]);
      }
    }),
    { numRuns: 5 },
  );
});
