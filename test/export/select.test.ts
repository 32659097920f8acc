import test, { type ExecutionContext } from 'ava';

import { select, type SelectRequest, type Wanted } from '../../src/export/select.ts';
import { parseReference } from '../../src/image/reference.ts';
import { putRegistryImage } from '../helpers/registry-image.ts';
import { storeContext } from '../helpers/store-context.ts';
import { putImage } from '../helpers/stored.ts';

const never = new AbortController().signal;
const platform = { platform: 'linux', arch: 'x64' };

async function open(t: ExecutionContext) {
  const { store } = await storeContext(t);
  const choose = async (wanted: readonly Wanted[], options: Partial<SelectRequest> = {}) => {
    const request = { all: false, takesArchives: true, platform, ...options, wanted };
    const { selection, failures, warnings } = await select(store, request, never);
    const found = [
      ...selection.images.map(({ reference }) => reference),
      ...selection.archives.map(({ name }) => name),
    ];
    return { found, failures: failures.map(({ asked, error }) => `${asked}: ${error.code}`), warnings };
  };
  return { store, choose };
}

const named = (asked: string): Wanted => ({ kind: 'named', asked });
const listed = (asked: string): Wanted => {
  const reference = parseReference(asked, { directory: '/', isFile: () => asked.startsWith('/') });
  return { kind: 'listed', asked, reference, platforms: [] };
};

test('each image is there once, an archive with what it depends on; what the store does not have is named', async (t) => {
  const { store, choose } = await open(t);
  await putImage(store, { name: 'example.com/deep' });
  await putImage(store, {
    name: 'example.com/base',
    dependencies: [{ imageName: 'example.com/deep' }, { imageName: 'example.com/gone' }],
  });
  const app = await putImage(store, {
    name: 'example.com/app',
    version: '1',
    dependencies: [{ imageName: 'example.com/base' }],
  });
  const image = await putRegistryImage(store, { content: '1' });
  await putRegistryImage(store, { content: '2' });
  const { found, failures, warnings } = await choose([
    ...[
      app.imageId,
      'example.com/app:1',
      image.manifest.digest,
      'docker://app:1',
      'docker://app:3',
      'example.com/none',
    ].map(named),
    ...['example.com/app', 'docker://app:1', '/images/example.com/deep.aci', 'docker://app:4'].map(listed),
  ]);
  t.deepEqual(found.toSorted(), [image.reference, 'example.com/app', 'example.com/base', 'example.com/deep']);
  t.deepEqual(failures, [
    'docker://app:3: NOT_IN_STORE',
    'example.com/none: NOT_IN_STORE',
    'docker://app:4: NOT_IN_STORE',
  ]);
  t.is(warnings.length, 1);
  t.regex(warnings[0] ?? '', /needs example.com\/gone, which is not in the store/);
});

test('an archive that was made of a registry image is exported as that; a list brings all platforms of a name', async (t) => {
  const { store, choose } = await open(t);
  const made = await putImage(store, { name: 'registry-1.docker.io/library/app', version: '1' });
  const image = await putRegistryImage(store, { content: '1', imageId: made.imageId });
  t.deepEqual((await choose([named(made.imageId)])).found, [image.reference]);
  t.deepEqual((await choose([], { all: true })).found, [image.reference]);
});

test('of an empty store nothing is selected, without a warning: the command says so in its error', async (t) => {
  const { choose } = await open(t);
  t.deepEqual(await choose([], { all: true }), { found: [], failures: [], warnings: [] });
});

test('where a format takes no archives, one that is named fails, and others are left out with a warning', async (t) => {
  const { store, choose } = await open(t);
  await putImage(store, { name: 'example.com/app' });
  const image = await putRegistryImage(store, { content: '1' });
  const options = { takesArchives: false };
  t.deepEqual((await choose([named('example.com/app')], options)).failures, ['example.com/app: NOT_IN_STORE']);
  for (const chosen of [
    await choose([listed('example.com/app'), listed('docker://app:1')], options),
    await choose([], { ...options, all: true }),
  ])
    t.like(chosen, {
      found: [image.reference],
      failures: [],
      warnings: ['1 archives (ACIs) are left out: the format takes images of registries only'],
    });
});
