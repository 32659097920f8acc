import { readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { createApps } from '../../src/index.ts';
import { type ActionOptions, openKeystore, openStore, type PlanOutcome } from '../../src/internal.ts';
import { buildAci } from '../helpers/archive.ts';
import { openFetching } from '../helpers/fetching.ts';
import { startOrigin } from '../helpers/origin.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

const dependsOn = (...names: string[]) => names.map((imageName) => ({ imageName }));

/** An origin, and a plan that leaves behind what it found: a store with what `before` fetched into it. */
async function planning(t: ExecutionContext) {
  const origin = await startOrigin(t);
  const fetching = await openFetching(t, { discover: origin.discover });
  const { finder, store } = fetching;
  const plan = async (images: readonly string[], options: Partial<ActionOptions> = {}) => {
    await using once = finder(options);
    const nodes: PlanOutcome[] = [];
    const { outcomes, totals } = await once.planImages(createApps(images), { onOutcome: (node) => nodes.push(node) });
    return { outcomes, totals, nodes };
  };
  const files = async () => {
    const names = (await readdir(store.dir, { recursive: true })).toSorted();
    return [names, await readFile(join(store.dir, 'index.sqlite'), 'base64')];
  };
  return { ...fetching, origin, plan, files };
}

test('a stored image is present; for any other a HEAD is sent, and nothing is downloaded', async (t) => {
  const { origin, plan, fetch, files } = await planning(t);
  const lib = await origin.publish({ name: 'example.com/lib' });
  const base = await origin.publish({ name: 'example.com/base', dependencies: dependsOn('example.com/lib') });
  const other = await origin.publish({ name: 'example.com/other', size: 100_000 });
  await fetch('example.com/base');
  const before = await files();
  const from = origin.requests.length;

  const { outcomes, totals, nodes } = await plan(['example.com/base', 'example.com/other', other.url]);
  const [first, second, third] = outcomes;
  t.like(first, { index: 0, status: 'present', imageID: base.imageId, dependencies: [lib.imageId], bytesToFetch: 0 });
  t.deepEqual(first?.needs, [nodes.find(({ name }) => name === 'example.com/lib')?.id]);
  t.like(second, { index: 1, status: 'absent', source: other.url, bytesToFetch: other.bytes.length });
  t.is(second?.needs, undefined);
  t.not(second?.id, third?.id);
  t.like(totals, { images: 3, nodes: 4, present: 2, absent: 2, failed: 0, bytesToFetch: other.bytes.length });
  t.like(totals, { unknownDependencies: 2, unknownSizes: 0 });
  t.deepEqual(await files(), before);
  const asked = origin.requests.slice(from);
  t.deepEqual([...new Set(asked.map(({ method, url }) => `${method} ${url.replace(/\?.*/, '')}`))].toSorted(), [
    'GET /example.com',
    'GET /example.com/other',
    `HEAD ${other.path}`,
  ]);
});

test('a plan does not record the use of an image, or that a blob with a changed stamp is good', async (t) => {
  const { origin, plan, fetch, store, directory } = await planning(t);
  const { imageId, url } = await origin.publish({ name: 'example.com/app' });
  await fetch(url);
  await utimes(store.blobPath(imageId), 1, 1);
  const before = (await store.getImage(imageId))?.lastUsedAtMs;
  t.like((await plan([imageId, 'example.com/app'])).totals, { images: 2, present: 2 });
  t.is(await store.blobState(imageId), 'changed');
  await store.close(); // writes what was put off
  await using again = await openStore({ dir: join(directory, 'store'), readOnly: true });
  t.is((await again.getImage(imageId))?.lastUsedAtMs, before);
});

test('the tree of a local archive is planned, a shared dependency is one node, and a missing one fails the images that need it', async (t) => {
  const { directory, origin, plan } = await planning(t);
  const file = join(directory, 'app.aci');
  const dependencies = dependsOn('example.com/lib', 'example.com/none', 'example.com/lib');
  await writeFile(file, (await buildAci({ name: 'example.com/app', dependencies, compress: 'gzip' })).bytes);
  await origin.publish({ name: 'example.com/lib' });
  const { outcomes, nodes, totals } = await plan([file]);
  t.like(outcomes[0], {
    status: 'failed',
    name: 'example.com/app',
    source: file,
    bytesToFetch: 0,
    error: { code: 'DEPENDENCY_FAILED' },
  });
  t.deepEqual(
    nodes.map(({ reference, status }) => [reference, status]).toSorted(),
    [
      ['example.com/lib', 'absent'],
      ['example.com/none', 'failed'],
      [file, 'failed'],
    ].toSorted(),
  );
  t.is(outcomes[0]?.needs?.length, 2);
  t.like(totals, { nodes: 3, absent: 1, failed: 2 });
  t.like((await plan([file], { withDeps: false })).outcomes[0], { status: 'absent', needs: [] });
});

test('a partial download reduces the bytes to fetch, but only if the server has the same version', async (t) => {
  const { origin, plan, fetch, store } = await planning(t);
  const { bytes, path, url } = await origin.publish({ name: 'example.com/big', size: 4_000_000 });
  origin.routes[path] = { body: bytes, etag: '"1"', cutAfter: 3_000_000 };
  t.like(await fetch(url), { status: 'failed' });
  const partial = await store.peekPartial(url);
  t.true(partial !== undefined && partial.bytes > 1_000_000 && partial.bytes <= 3_000_000);
  const [outcome] = (await plan([url])).outcomes;
  t.is(outcome?.bytesToFetch, bytes.length - (partial?.bytes ?? 0));
  origin.routes[path] = { body: bytes, etag: '"2"' };
  t.is((await plan([url])).outcomes[0]?.bytesToFetch, bytes.length);
});

test('an unchanged image is present, a changed one is absent, and a server may send no size', async (t) => {
  const { origin, plan, fetch } = await planning(t);
  const { bytes, path, url, imageId } = await origin.publish({ name: 'example.com/app' }, { etag: '"1"' });
  await fetch(url);
  t.like((await plan([url])).outcomes[0], { status: 'present', imageID: imageId });
  origin.routes[path] = { body: bytes, etag: '"2"', chunked: true };
  const { outcomes, totals } = await plan([url]);
  t.like(outcomes[0], { status: 'absent', source: url });
  t.is(outcomes[0]?.bytesToFetch, undefined);
  t.like(totals, { bytesToFetch: 0, unknownSizes: 1 });
  origin.routes[`HEAD ${path}`] = { status: 405 };
  t.is((await plan([url])).outcomes[0]?.status, 'absent');
});

test('with verification a signature must exist, and with the policy `never` no server is asked', async (t) => {
  const { origin, plan } = await planning(t);
  const { path, url } = await origin.publish({ name: 'example.com/app' });
  const keystore = await openKeystore({ dirs: [await temporaryDirectory(t)] });
  t.is((await plan([url], { keystore })).outcomes[0]?.error?.code, 'SIGNATURE_MISSING');
  origin.routes[path.replace('.aci', '.aci.asc')] = { body: 'signature' };
  t.like((await plan([url], { keystore })).outcomes[0], {
    status: 'absent',
    signature: url.replace('.aci', '.aci.asc'),
  });
  const before = origin.requests.length;
  const { outcomes } = await plan([url, 'example.com/app', 'sha512-abcdef', 'docker://busybox', 'ftp://a'], {
    storeOnly: true,
  });
  const codes = ['NOT_IN_STORE', 'NOT_IN_STORE', 'NOT_IN_STORE', 'NOT_IN_STORE', 'REFERENCE_INVALID'];
  t.deepEqual(
    outcomes.map(({ error }) => error?.code),
    codes,
  );
  t.is(new Set(outcomes.map(({ id }) => id)).size, 5);
  t.is(origin.requests.length, before);
});

test('a plan needs no data directory, and creates none', async (t) => {
  const dir = join(await temporaryDirectory(t), 'none');
  const store = await openStore({ dir, readOnly: true });
  const { finder, origin } = await planning(t);
  const { url } = await origin.publish({ name: 'example.com/app' });
  const { outcomes } = await finder({ store }).planImages(createApps([url]));
  t.like(outcomes[0], { status: 'absent' });
  await t.throwsAsync(readdir(dir), { code: 'ENOENT' });
});
