import test, { type ExecutionContext } from 'ava';

import { buildAci } from '../helpers/archive.ts';
import { environmentIn } from '../helpers/environment.ts';
import { startOrigin } from '../helpers/origin.ts';
import { startRegistry } from '../helpers/registry.ts';
import { layerOf } from '../helpers/registry-fetching.ts';
import { runHere } from '../helpers/run-here.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

type Result = { readonly images: readonly { readonly status: string; readonly source?: string }[] };

const layers = async (text: string) => [await layerOf({ 'etc/hostname': text })];

/**
 * Images by name, by https URL, and of a registry with and without a tag, all at servers of unknown authority, and
 * longshore that checks neither certificates nor signatures.
 */
async function serving(t: ExecutionContext) {
  const directory = await temporaryDirectory(t);
  const origin = await startOrigin(t, { https: true });
  const registry = await startRegistry(t, { https: true });
  const named = await origin.publish({ name: 'example.com/app', version: '1' }, { etag: '"1"' });
  const located = await origin.publish({ name: 'example.com/other' }, { etag: '"1"' });
  for (const tag of ['latest', '1']) registry.putImage('team/app', tag, { layers: await layers(tag) });
  const repository = `docker://${registry.host}/team/app`;
  const references = ['example.com/app:1', located.url, repository, `${repository}:1`];
  const environment = {
    ...environmentIn(directory),
    LONGSHORE_INSECURE_OPTIONS: 'image,tls',
    LONGSHORE_DISCOVER: `example.com=${origin.url}`,
    LONGSHORE_PLATFORM: 'linux/amd64',
    LONGSHORE_PROGRESS: 'none',
    LONGSHORE_RETRIES: '0',
  };
  const fetch = (...options: readonly string[]) => runHere(['fetch', ...options, ...references], environment);
  return {
    references,
    sources: [named.url, located.url, `${repository}:latest`, `${repository}:1`],
    origin,
    registry,
    fetch,
    /** The status of each image, and where it came from. */
    outcomes: async (...options: readonly string[]) => {
      const { code, stdout, stderr } = await fetch('--output=json', ...options);
      t.is(code, 0, stderr);
      const { images } = JSON.parse(stdout) as Result;
      return images.map(({ status, source }) => [status, source] as const);
    },
    /** How many requests there have been. */
    asked: () => origin.requests.length + registry.requests.length,
  };
}

test('an image is fetched from its server, and the next time from the store', async (t) => {
  const { sources, outcomes, asked, origin } = await serving(t);
  t.deepEqual(
    await outcomes(),
    sources.map((source) => ['fetched', source]),
  );
  const before = [asked(), origin.requests.length];
  t.deepEqual(
    await outcomes(),
    sources.map((source) => ['present', source]),
  );
  const conditional = origin.requests.slice(before[1]).map(({ headers }) => headers['if-none-match']);
  t.deepEqual(conditional, ['"1"'], 'the URL, which has no max-age, is asked about');
  t.is(asked(), (before[0] ?? 0) + 1);
});

test('--store-only makes no request: missing images are named, stored ones are used', async (t) => {
  const { references, sources, fetch, outcomes, asked } = await serving(t);
  const { code, stdout, stderr } = await fetch('--store-only');
  t.deepEqual([code, stdout], [4, '']);
  const errors = stderr.split('\n').filter((line) => line.startsWith('error: '));
  t.deepEqual(
    errors.map((line) => line.split(': ').slice(1, 3)),
    references.map((reference) => [reference, 'NOT_IN_STORE']),
  );
  t.is(asked(), 0);
  await outcomes();
  const before = asked();
  t.deepEqual(
    await outcomes('--store-only'),
    sources.map((source) => ['present', source]),
  );
  t.is(asked(), before);
});

test('--no-store asks the server for every image, and downloads those that have changed', async (t) => {
  const { sources, outcomes, origin, registry } = await serving(t);
  await outcomes();
  const before = [origin.requests.length, registry.requests.length];
  t.deepEqual(
    await outcomes('--no-store'),
    sources.map((source) => ['present', source]),
  );
  const since = origin.requests.slice(before[0]).map(({ url }) => url.replace(/\?.*/, ''));
  const archives = sources.slice(0, 2).map((source) => new URL(source ?? '').pathname);
  for (const path of ['/example.com', ...archives]) t.true(since.includes(path), path);
  const heads = registry.requests.slice(before[1]).filter(({ method }) => method === 'HEAD');
  t.deepEqual(heads.map(({ url }) => url).toSorted(), ['/v2/team/app/manifests/1', '/v2/team/app/manifests/latest']);

  for (const [index, name] of ['example.com/app', 'example.com/other'].entries()) {
    const { bytes } = await buildAci({ name, size: 1000, ...(index === 0 && { version: '1' }) });
    origin.routes[archives[index] ?? ''] = { body: bytes, etag: '"2"' };
  }
  for (const tag of ['latest', '1']) registry.putImage('team/app', tag, { layers: await layers(`new ${tag}`) });
  t.deepEqual(
    await outcomes('--no-store'),
    sources.map((source) => ['fetched', source]),
  );
});
