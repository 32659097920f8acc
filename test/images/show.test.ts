import test from 'ava';

import { imageEntry } from '../../src/images/list.ts';
import { catManifest, describeImage } from '../../src/images/show.ts';
import { buildAci } from '../helpers/archive.ts';
import { storeContext } from '../helpers/store-context.ts';
import { putImage } from '../helpers/stored.ts';

test('dependencies are those of the manifest, each with the image in the store', async (t) => {
  const { store } = await storeContext(t);
  const base = await putImage(store, { name: 'example.com/base', version: '1.0' });
  const image = await putImage(store, {
    name: 'example.com/app',
    dependencies: [
      { imageName: 'example.com/base', labels: [{ name: 'version', value: '1.0' }] },
      { imageName: 'example.com/base', imageID: base.imageId },
      { imageName: 'example.com/base', labels: [{ name: 'version', value: '2.0' }] },
      { imageName: 'example.com/base', imageID: `sha512-${'0'.repeat(128)}` },
      { imageName: 'example.com/gone' },
    ],
  });
  const { dependencies } = await describeImage(store, image);
  t.deepEqual(
    dependencies.map((one) => one.image?.imageId),
    [base.imageId, base.imageId, undefined, undefined, undefined],
  );
  t.is(dependencies[2]?.dependency.labels.get('version'), '2.0');
});

test('the manifest is the text of the archive, byte for byte, and indented only on request', async (t) => {
  const { store } = await storeContext(t);
  const options = { name: 'example.com/app', manifest: { annotations: [{ name: 'note', value: 'ü → "x"' }] } };
  const image = await putImage(store, options);
  const { manifest } = await buildAci(options);
  t.is(await catManifest(store, imageEntry(image)), manifest);
  t.is((await describeImage(store, image)).manifest, manifest);
  t.is(
    await catManifest(store, imageEntry(image), { pretty: true }),
    JSON.stringify(JSON.parse(manifest), undefined, '\t'),
  );
});
