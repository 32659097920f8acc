import test, { type ExecutionContext } from 'ava';

import type { AppInput } from '../../../src/index.ts';
import { type ActionOptions, createFinder } from '../../../src/internal.ts';
import { putBuilt } from '../../helpers/attached.ts';
import { layerOf, openRegistryFetching } from '../../helpers/registry-fetching.ts';

/** A registry with an index for two processors, and finders for amd64 that keep images as they came. */
async function choosing(t: ExecutionContext) {
  const fetching = await openRegistryFetching(t, { keep: 'oci' });
  const { index, images } = putBuilt(fetching.registry);
  const digestFor = (architecture: string) =>
    images.find(({ platform }) => platform.architecture === architecture)?.digest;
  const reference = fetching.reference('app:1');
  const find = async (apps: readonly AppInput[], options: Partial<ActionOptions> = {}) => {
    await using finder = fetching.finder(options);
    return await finder.findImages(apps);
  };
  const name = reference.slice('docker://'.length);
  const at = (digest = '') => `${name.slice(0, -':1'.length)}@${digest}`;
  return { ...fetching, index, digestFor, reference, find, name, at };
}

test('requests of one reference for different platforms are two images: the first has the name, and either is found without a network', async (t) => {
  const { find, kept, digestFor, reference: image, name, at } = await choosing(t);
  const apps = [{ image }, { image, platform: ['linux/arm64'] }, { image, platform: ['linux/amd64'] }];
  const { outcomes, totals } = await find(apps);
  const [amd64, arm64] = [digestFor('amd64'), digestFor('arm64')];
  t.deepEqual(
    outcomes.map(({ imageID }) => imageID),
    [amd64, arm64, amd64],
  );
  t.like(totals, { images: 3, nodes: 2 });
  t.deepEqual((await kept()).toSorted(), [name, at(arm64)].toSorted());
  const again = await find(apps, { pullPolicy: 'never' });
  t.deepEqual(
    again.outcomes.map(({ status, imageID }) => [status, imageID]),
    [amd64, arm64, amd64].map((digest) => ['present', digest]),
  );
});

test('of requests of one reference, that for the whole index has the name, wherever it stands', async (t) => {
  const { find, store, index, digestFor, reference: image, name } = await choosing(t);
  const { outcomes } = await find([{ image }, { image, platform: ['all'] }]);
  t.deepEqual(
    outcomes.map(({ imageID }) => imageID),
    [digestFor('amd64'), index.digest],
  );
  const named = await store.findRegistryImage(name);
  t.is(String(named?.manifest.digest), index.digest);
});

test('what is kept of an image can be said for one request', async (t) => {
  const { find, listed, kept, registry, reference, reference: image } = await choosing(t);
  registry.putImage('other', '1', { layers: [await layerOf({ file: 'content' })] });
  const other = image.replace('app:1', 'other:1');
  const { outcomes } = await find([{ image }, { image: other, keep: 'aci' }]);
  t.regex(outcomes[1]?.imageID ?? '', /^sha512-/);
  t.deepEqual(await kept(), [reference.slice('docker://'.length)]);
  t.is((await listed()).length, 1);
});

test('a plan counts what each request chooses, and says the same as the fetch after it', async (t) => {
  const { finder, find, reference: image, digestFor } = await choosing(t);
  await using planning = finder();
  const apps = [{ image }, { image, platform: ['linux/arm64'] }];
  const { outcomes, totals } = await planning.planImages(apps);
  t.like(totals, { nodes: 2, absent: 2 });
  t.deepEqual(
    outcomes.map(({ digest }) => digest),
    [digestFor('amd64'), digestFor('arm64')],
  );
  await find(apps);
  t.like((await planning.planImages(apps)).totals, { present: 2 });
});

test('choices that contradict each other are a usage error, before anything is asked', async (t) => {
  const { store, asked, reference: image } = await choosing(t);
  const wrong: readonly (readonly [Partial<ActionOptions>, Omit<AppInput, 'image'>])[] = [
    [{ keep: 'aci' }, { platform: ['all'] }],
    [{}, { platform: ['all', 'linux/amd64'] }],
    [{ platform: ['all'] }, { keep: 'both' }],
    [{ referrers: true }, { keep: 'aci' }],
  ];
  for (const [options, choices] of wrong) {
    await using finder = createFinder({ store, ...options });
    await t.throwsAsync(finder.findImages([{ image, ...choices }]), { code: 'USAGE' });
    await t.throwsAsync(finder.planImages([{ image, ...choices }]), { code: 'USAGE' });
  }
  await using lenient = createFinder({ store });
  const { outcomes } = await lenient.findImages([{ image, platform: ['all'] }]);
  t.is(outcomes[0]?.status, 'fetched', 'and with nothing said of what is kept, a whole index is kept as it came');
  t.true(asked('GET /v2/app/') > 0);
});

test('the digest of one manifest of an index stands for that alone, whatever else the store has of the index', async (t) => {
  const { find, digestFor, reference, at } = await choosing(t);
  await find([{ image: reference, platform: ['linux/amd64', 'linux/arm64'] }]);
  const arm64 = digestFor('arm64');
  const image = `docker://${at(arm64)}`;
  const { outcomes } = await find(
    [['linux/arm64'], ['all'], ['linux/amd64'], ['linux/amd64', 'linux/arm64']].map((platform) => ({
      image,
      platform,
    })),
    { pullPolicy: 'never' },
  );
  t.deepEqual(
    outcomes.map(({ status, imageID }) => [status, imageID]),
    [
      ['present', arm64],
      ['present', arm64],
      ['failed', undefined],
      ['failed', undefined],
    ],
  );
  t.is(outcomes[0]?.digest, arm64);
});
