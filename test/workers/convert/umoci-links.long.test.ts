import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MessageChannel } from 'node:worker_threads';

import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';

import { extract } from '../../../workers/extract/extract.ts';
import { buildTar, type TarItem } from '../../helpers/archive.ts';
import { convertLayers, convertLimits, type LayerBytes, pack, temporary } from './layers.ts';
import { describeTree, hasUmoci, unpackWithUmoci } from './umoci.ts';

const compare = hasUmoci ? test : test.skip;

const name = fc.constantFrom('a', 'b', 'c', 'd');
/** As some builders write paths: with parts that say nothing. */
const path = fc
  .tuple(
    fc.constantFrom('', '', './', '/', './/', '/./'),
    fc.array(fc.tuple(name, fc.constantFrom('/', '/', '//', '/./')), { minLength: 1, maxLength: 3 }),
  )
  .map(([start, parts]) => start + parts.map(([part, slash]) => part + slash).join(''))
  .map((text) => text.replace(/[./]+$/, ''));
const target = fc
  .tuple(
    fc.constantFrom('', '/', '../', './', '../../../'),
    fc.array(fc.constantFrom('a', 'b', 'c', 'd', '..', '.'), { minLength: 1, maxLength: 3 }),
  )
  .map(([start, parts]) => start + parts.join('/'));

const item: fc.Arbitrary<TarItem> = fc.oneof(
  { arbitrary: fc.record({ name: path, content: fc.stringMatching(/^[a-z]{0,9}$/) }), weight: 3 },
  {
    arbitrary: fc.record({
      name: path.map((text) => `${text}/`),
      type: fc.constant('directory'),
      mode: fc.constantFrom(0o755, 0o711),
    }),
    weight: 4,
  },
  { arbitrary: fc.record({ name: path, type: fc.constant('symlink'), linkname: target }), weight: 3 },
  { arbitrary: fc.record({ name: path, type: fc.constant('link'), linkname: path }), weight: 1 },
  { arbitrary: path.map((text) => ({ name: text.replace(/[^/]*$/, '.wh.$&') })), weight: 1 },
  { arbitrary: path.map((text) => ({ name: `${text}/.wh..wh..opq` })), weight: 1 },
);
/** What the last entry is followed by. */
const end = fc.constantFrom('whole', 'one block', 'no block', 'no padding');
const layer = fc.record({ items: fc.array(item, { minLength: 1, maxLength: 7 }), end });

compare('an image unpacks as umoci unpacks its layers: with links, unclean paths and without an end', async (t) => {
  let compared = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(layer, { minLength: 1, maxLength: 3 }), async (layers) => {
      const packed = await Promise.all(layers.map(async ({ items, end }) => pack(cutEnd(await buildTar(items), end))));
      const theirs = await unpackWithUmoci(t, packed).catch(() => undefined);
      if (theirs === undefined) return; // a link to nowhere, an entry below a file
      compared += 1;
      t.deepEqual(describe(await unpack(t, packed)), describe(theirs));
    }),
    { numRuns: 30 },
  );
  t.log(`${compared} trees compared`);
  t.true(compared > 0);
});

function cutEnd(tar: Buffer, end: string): Buffer {
  const used = tar.length - 1024;
  switch (end) {
    case 'one block':
      return tar.subarray(0, used + 512);
    case 'no block':
      return tar.subarray(0, used);
    case 'no padding': {
      const size = Number.parseInt(tar.toString('latin1', used - 1024 + 124, used - 1024 + 135), 8); // one block of content, if any
      const isFile = tar.toString('latin1', used - 1024 + 257, used - 1024 + 262) === 'ustar' && size > 0;
      return tar.subarray(0, isFile ? used - 512 + size : used);
    }
    default:
      return tar;
  }
}

async function unpack(t: ExecutionContext, layers: readonly LayerBytes[]): Promise<string> {
  const { tar, imageId } = await convertLayers(t, layers);
  const directory = await temporary(t);
  const blob = join(directory, 'image');
  await writeFile(blob, tar);
  const target = await temporary(t);
  const { port1, port2 } = new MessageChannel();
  const layer = { imageId, blob, size: tar.length, own: [], inherited: [] };
  await extract({ layers: [layer], target, shown: target, rootfsOnly: true, limits: convertLimits, port: port2 });
  port1.close();
  return target;
}

/** Without the times of directories: umoci leaves those of the ones in which a whiteout has removed something. */
function describe(root: string): readonly string[] {
  return describeTree(root)
    .map((line) => line.replace(/^(d \d+) \S+/, '$1'))
    .sort();
}
