import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MessageChannel } from 'node:worker_threads';

import test, { type ExecutionContext } from 'ava';

import { extract } from '../../../workers/extract/extract.ts';
import type { ExtractLayer } from '../../../workers/tasks.ts';
import { buildTar, imageIdOf, type TarItem } from '../../helpers/archive.ts';
import { temporaryDirectory } from '../../helpers/stored.ts';
import { goodManifest } from '../../helpers/tar-forge.ts';

const limits = { manifestBytes: 1 << 20, headerBytes: 1 << 20, entries: 1000, pathBytes: 4096 };
const none = { count: 0, paths: [] };

async function layerOf(directory: string, name: string, items: readonly TarItem[]): Promise<ExtractLayer> {
  const start: TarItem[] = [
    { name: 'manifest', content: goodManifest },
    { name: 'rootfs', type: 'directory' },
  ];
  const tar = await buildTar([...start, ...items]);
  const blob = join(directory, name);
  await writeFile(blob, tar);
  return { imageId: imageIdOf(tar), blob, size: tar.length, own: [], inherited: [] };
}

async function requestOf(t: ExecutionContext, ...archives: readonly (readonly TarItem[])[]) {
  const directory = await temporaryDirectory(t);
  const layers = await Promise.all(archives.map((items, index) => layerOf(directory, `${index}`, items)));
  const target = join(directory, 'target');
  await mkdir(target);
  const { port1, port2: port } = new MessageChannel();
  t.teardown(() => port1.close());
  return { request: { layers, target, shown: '/shown', rootfsOnly: true, limits, port }, stop: () => port1.close() };
}

test('an extraction stops when the other end of its port is closed', async (t) => {
  const { request, stop } = await requestOf(t, [{ name: 'rootfs/large', content: Buffer.alloc(8 << 20) }]);
  stop();
  await t.throwsAsync(extract(request), { code: 'CANCELLED' });
});

test('the entries of all images together count against the limit', async (t) => {
  const files = (letter: string): TarItem[] =>
    Array.from({ length: 600 }, (_, index) => ({ name: `rootfs/${letter}${index}` }));
  const { request } = await requestOf(t, files('a'), files('b'));
  await t.throwsAsync(extract(request), { code: 'LIMIT_EXCEEDED', message: /too many entries in the tree/ });
  const { request: same } = await requestOf(t, files('a'), [...files('a'), { name: 'rootfs/more' }]);
  t.deepEqual(await extract(same), { skipped: none, withoutXattrs: none });
});

test('a device that cannot be made is left out with its hard links, and counted', async (t) => {
  const device: TarItem = { name: 'rootfs/dev\u00e9', type: 'character-device', devmajor: 2 ** 20, devminor: 2 ** 20 };
  const { request } = await requestOf(t, [device, { name: 'rootfs/too', type: 'link', linkname: device.name }]);
  const skipped = { count: 2, paths: ['rootfs/dev\u00e9', 'rootfs/too'] };
  t.deepEqual(await extract(request), { skipped, withoutXattrs: none });
});
