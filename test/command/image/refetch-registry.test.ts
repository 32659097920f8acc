import test, { type ExecutionContext } from 'ava';

import { openStore } from '../../../src/store/open-store.ts';
import { putAttached, serveReferrers } from '../../helpers/attached.ts';
import { damageFile } from '../../helpers/damage.ts';
import { environmentIn } from '../../helpers/environment.ts';
import { startRegistry } from '../../helpers/registry.ts';
import { layerOf } from '../../helpers/registry-fetching.ts';
import { runHere } from '../../helpers/run-here.ts';
import { temporaryDirectory } from '../../helpers/stored.ts';

type Verified = { readonly damaged: readonly { readonly repaired: boolean }[] };

/** A store with an image of a registry for a platform that nobody here has. */
async function fetched(t: ExecutionContext, keep: string, ...more: readonly string[]) {
  const registry = await startRegistry(t);
  const directory = await temporaryDirectory(t);
  const environment = {
    ...environmentIn(directory),
    LONGSHORE_PROGRESS: 'none',
    LONGSHORE_INSECURE_OPTIONS: 'image,http',
  };
  const layers = [await layerOf({ 'etc/hostname': 'name' }), await layerOf({ file: 'content' })];
  const image = registry.putImage('app', '1', { layers, architecture: 's390x' });
  serveReferrers(registry, 'app', { to: image, manifests: [putAttached(registry, 'app', { to: image })] });
  const run = (...args: readonly string[]) => runHere(args, environment);
  const { code, stderr } = await run(
    'fetch',
    `--keep=${keep}`,
    '--platform=linux/s390x',
    ...more,
    `docker://${registry.host}/app:1`,
  );
  t.is(code, 0, stderr);
  await using store = await openStore({ dir: environment.LONGSHORE_DIR, readOnly: true });
  const images = await Array.fromAsync(store.images());
  const [kept] = await Array.fromAsync(store.registryImages());
  return { run, registry, store, made: images[0], kept };
}

async function repair(t: ExecutionContext, { run }: Pick<Awaited<ReturnType<typeof fetched>>, 'run'>) {
  const { code, stdout, stderr } = await run('image', 'verify', '--repair', '--output=json');
  t.is(code, 0, stderr);
  return (JSON.parse(stdout) as Verified).damaged.map(({ repaired }) => repaired);
}

test('a repair fetches only the damaged blob of an image from its registry', async (t) => {
  const fixture = await fetched(t, 'both');
  const { kept, made, run, registry, store } = fixture;
  const layer =
    registry.requests
      .find(({ url }) => url.includes('/blobs/'))
      ?.url.split('/')
      .at(-1) ?? '';
  const digest = kept?.blobs.find((blob) => blob === layer);
  if (!kept || !digest) return t.fail();
  await damageFile(store.digestPath(digest), 'flip', 20);
  const before = registry.requests.length;

  t.deepEqual(await repair(t, fixture), [true]);
  const asked = registry.requests.slice(before).filter(({ url }) => url.includes('/blobs/'));
  t.deepEqual(
    asked.map(({ url }) => url.split('/').at(-1)),
    [digest],
  );
  const { stdout } = await run('image', 'list', '--output=json');
  const { images } = JSON.parse(stdout) as { readonly images: readonly object[] };
  t.is(images.length, 1);
  t.true(images.some((row) => 'convertedTo' in row && row.convertedTo === made?.imageId));
});

test('a converted image is converted again, from blobs that are in the store, whether its registry is there or not', async (t) => {
  const fixture = await fetched(t, 'both');
  const { made, kept, registry, store } = fixture;
  if (!made || !kept) return t.fail();
  await damageFile(store.blobPath(made.imageId), 'flip', 2000);
  const before = registry.requests.length;
  for (const path of Object.keys(registry.routes)) registry.routes[path] = { status: 404 };
  t.deepEqual(await repair(t, fixture), [true]);
  t.is(registry.requests.length, before);
  await using reader = await openStore({ dir: store.dir, readOnly: true });
  t.is((await reader.findRegistryImage(kept.reference))?.imageId, made.imageId);
});

for (const keep of ['aci', 'oci']) {
  test(`an image that was kept as ${keep} only is fetched again like that`, async (t) => {
    const fixture = await fetched(t, keep);
    const { made, kept, run, store } = fixture;
    const path = made ? store.blobPath(made.imageId) : kept && store.digestPath(kept.manifest.digest);
    if (path === undefined) return t.fail();
    await damageFile(path, 'flip', 30);
    t.deepEqual(await repair(t, fixture), [true]);
    const { stdout } = await run('image', 'list', '--no-legend', '--full', '--fields=id');
    t.is(stdout, `${made?.imageId ?? kept?.manifest.digest}\n`);
  });
}

test('what is attached to an image is fetched again with it, and mended itself', async (t) => {
  for (const isAttached of [false, true]) {
    const fixture = await fetched(t, 'oci', '--referrers');
    const { kept, store } = fixture;
    const [attached] = kept?.referrers ?? [];
    if (!kept || !attached) return t.fail();
    await damageFile(store.digestPath(isAttached ? attached.digest : kept.manifest.digest), 'flip', 30);
    t.deepEqual(await repair(t, fixture), [true]);
    await using reader = await openStore({ dir: store.dir, readOnly: true });
    t.deepEqual((await reader.findRegistryImage(kept.reference))?.referrers, kept.referrers);
  }
});

test('an image whose registry is gone stays unlisted, and that is a failure', async (t) => {
  const { kept, run, registry, store } = await fetched(t, 'oci');
  if (!kept) return t.fail();
  await damageFile(store.digestPath(kept.manifest.digest), 'cut');
  for (const path of Object.keys(registry.routes)) registry.routes[path] = { status: 404 };
  const { code, stderr } = await run('image', 'verify', '--repair');
  t.is(code, 8);
  t.regex(stderr, /STORE_CORRUPT: a blob of .*\/app:1 is damaged: wrong size; taken off the list/);
  t.is((await run('image', 'list', '--no-legend')).stdout, '');
});
