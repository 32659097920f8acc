import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';

import { defaultLimits } from '../../src/image/limits.ts';
import { extractImage, renderImage } from '../../src/images/extract.ts';
import { putTar } from '../helpers/put-tar.ts';
import { sharedContext } from '../helpers/store-context.ts';
import { temporaryDirectory } from '../helpers/stored.ts';
import { forgeArchive, forgeEntry, forgePax, goodManifest, tarEnd } from '../helpers/tar-forge.ts';

const context = await sharedContext();
const never = new AbortController().signal;

const file = (name: string) => forgeEntry({ name }, 'evil');
const link = (name: string, linkName: string) => forgeEntry({ name, linkName, type: '1' });
const folder = (name: string) => forgeEntry({ name, type: '5', mode: 0o755 });

/** Archives that no fetch would take, put into the store by hand. `outside` is a directory beside the target. */
const forged: Readonly<Record<string, (outside: string) => Uint8Array>> = {
  'a path upwards': () => forgeArchive(file('rootfs/../../outside/evil')),
  'a path upwards by pax': () => forgeArchive(forgePax({ path: 'rootfs/../../outside/evil' }), file('rootfs/x')),
  'a path upwards by a prefix': () =>
    forgeArchive(forgeEntry({ name: '../outside/evil', prefix: 'rootfs/..' }, 'evil')),
  'an absolute path (R10)': (outside) => forgeArchive(file(`${outside}/evil`)),
  'a path beside rootfs (R10)': () => forgeArchive(file('junk')),
  'paths that look like it (R13)': () => forgeArchive(file('rootfsx/y')),
  'an entry below a symlink': (outside) => forgeArchive(symlinkTo('rootfs/p', outside), file('rootfs/p/evil')),
  'an entry below a symlink that comes later': (outside) =>
    forgeArchive(file('rootfs/p/evil'), symlinkTo('rootfs/p', outside)),
  'a directory over a symlink': (outside) =>
    forgeArchive(symlinkTo('rootfs/p', outside), folder('rootfs/p'), file('rootfs/p/evil')),
  'a file over a symlink': (outside) => forgeArchive(symlinkTo('rootfs/p', `${outside}/canary`), file('rootfs/p')),
  'a file through a second name of a symlink': (outside) =>
    forgeArchive(symlinkTo('rootfs/p', outside), link('rootfs/q', 'rootfs/p'), file('rootfs/q/evil')),
  'a hard link to outside': (outside) => forgeArchive(link('rootfs/l', `${outside}/canary`), file('rootfs/l')),
  'a hard link upwards': () => forgeArchive(link('rootfs/l', 'rootfs/../../outside/canary')),
  'a hard link through a symlink': (outside) =>
    forgeArchive(symlinkTo('rootfs/p', outside), link('rootfs/l', 'rootfs/p/canary')),
  'a rootfs that is a symlink': (outside) =>
    Buffer.concat([
      forgeEntry({ name: 'manifest' }, goodManifest),
      symlinkTo('rootfs', outside),
      file('rootfs/evil'),
      tarEnd,
    ]),
  'a manifest that is a symlink': (outside) =>
    Buffer.concat([symlinkTo('manifest', `${outside}/canary`), file('manifest'), folder('rootfs'), tarEnd]),
  'no rootfs (R12)': () => Buffer.concat([forgeEntry({ name: 'manifest' }, goodManifest), file('rootfs/a'), tarEnd]),
  'no end': () => forgeArchive(file('rootfs/a')).subarray(0, -1024),
  'no tar at all': () => Buffer.alloc(4096, 'x'),
};

function symlinkTo(name: string, linkName: string): Buffer {
  return Buffer.concat([forgePax({ linkpath: linkName }), forgeEntry({ name, type: '2' })]);
}

test('forged images in the store are refused, and nothing is created or changed, in the target or outside', async (t) => {
  const dir = await temporaryDirectory(t);
  const outside = join(dir, 'outside');
  await mkdir(outside);
  await writeFile(join(outside, 'canary'), 'alive');
  const request = { target: join(dir, 'app'), overwrite: false, limits: defaultLimits };
  const platform = { platform: 'linux', arch: 'x64' };
  for (const [index, [title, forge]] of Object.entries(forged).entries()) {
    const about = { dependencies: [{ imageName: `example.com/lower${index}` }] };
    const image = await putTar(context.store, { name: `example.com/lower${index}`, tar: forge(outside) });
    const good = [{ name: 'rootfs', type: 'directory' }, { name: `rootfs/upper${index}` }] as const;
    const upper = await putTar(context.store, { name: `example.com/upper${index}`, tar: good, ...about });
    for (const rootfsOnly of [true, false]) {
      const extracting = extractImage(context, { ...request, image, rootfsOnly }, never);
      await t.throwsAsync(extracting, { code: 'ARCHIVE_INVALID' }, title);
      const rendering = renderImage(context, { ...request, image: upper, rootfsOnly, platform }, never);
      await t.throwsAsync(rendering, { code: 'ARCHIVE_INVALID' }, `below another: ${title}`);
    }
    t.deepEqual(await readdir(dir, { recursive: true }), ['outside', 'outside/canary'], title);
  }
  t.is(await readFile(join(outside, 'canary'), 'utf8'), 'alive');
});
