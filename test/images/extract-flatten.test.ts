import test, { type ExecutionContext } from 'ava';

import { defaultLimits } from '../../src/image/limits.ts';
import { flatten, type FlattenOptions } from '../../src/images/extract.ts';
import type { Store, StoredImage } from '../../src/store/store.ts';
import type { AciOptions } from '../helpers/archive.ts';
import { openTestStore } from '../helpers/blob.ts';
import { putTar } from '../helpers/put-tar.ts';

const platform = { platform: 'linux', arch: 'x64' };

/** An image that needs others: names, or what stands in a manifest. */
function put(
  store: Store,
  name: string,
  needs: readonly (string | NonNullable<AciOptions['dependencies']>[number])[] = [],
  labels: Readonly<Record<string, string>> = {},
): Promise<StoredImage> {
  const dependencies = needs.map((need) => (typeof need === 'string' ? { imageName: need } : need));
  return putTar(store, { name, labels, dependencies, tar: Buffer.from(JSON.stringify([name, labels, dependencies])) });
}

async function order(store: Store, root: StoredImage, options: Partial<FlattenOptions> = {}): Promise<string> {
  const flat = await flatten(store, root, { limits: defaultLimits, platform, ...options });
  return flat.map(({ image }) => image.name).join(' ');
}

async function failure(t: ExecutionContext, store: Store, root: StoredImage, code: string): Promise<Error | undefined> {
  return t.throwsAsync(order(store, root), { code });
}

test('each dependency comes below its parent, the last one listed first', async (t) => {
  const store = await openTestStore(t, true);
  await Promise.all([put(store, 'b'), put(store, 'c', ['d']), put(store, 'd')]);
  t.is(await order(store, await put(store, 'a', ['b', 'c'])), 'a c d b');
});

test('a shared image is listed once for each whitelist that applies to it, so a deep lattice stays small', async (t) => {
  const store = await openTestStore(t, true);
  await put(store, 'd');
  await Promise.all([put(store, 'b', ['d']), put(store, 'c', ['d'])]);
  t.is(await order(store, await put(store, 'a', ['b', 'c'])), 'a c d b');

  const levels = 40; // two ways at each: 2^40 paths
  for (let level = 0; level < levels; level++) {
    const below = level === 0 ? [] : [`l${level - 1}`, `r${level - 1}`];
    await Promise.all([put(store, `l${level}`, below), put(store, `r${level}`, below)]);
  }
  const names = await order(store, await put(store, 'top', [`l${levels - 1}`, `r${levels - 1}`]));
  t.is(names.split(' ').length, 1 + 2 * levels);
});

test('a missing dependency is named, with the image that needs it', async (t) => {
  const store = await openTestStore(t, true);
  const labels = [{ name: 'version', value: '1' }];
  await put(store, 'b', [{ imageName: 'zz', labels }]);
  const error = await failure(t, store, await put(store, 'a', ['b']), 'NOT_IN_STORE');
  t.like(error, { message: 'b needs zz,version=1, which is not in the store', details: { asked: 'zz,version=1' } });
});

test('a cycle is refused, and its path is named', async (t) => {
  const store = await openTestStore(t, true);
  await Promise.all([put(store, 'b', ['c']), put(store, 'c', ['b'])]);
  const error = await failure(t, store, await put(store, 'a', ['b']), 'DEPENDENCY_CYCLE');
  t.like(error, { message: 'it depends on itself: b → c → b', details: { path: ['b', 'c', 'b'] } });
  await failure(t, store, await put(store, 'self', ['self']), 'DEPENDENCY_CYCLE');
});

test('a chain is followed up to the limit of depth, a tree up to that of nodes', async (t) => {
  const store = await openTestStore(t, true);
  await Promise.all([put(store, 'b', ['c']), put(store, 'c', ['d']), put(store, 'd')]);
  const root = await put(store, 'a', ['b']);
  const limited = (depth: number, nodes: number) => order(store, root, { limits: { depth, nodes } });
  t.is(await limited(3, 4), 'a b c d');
  await t.throwsAsync(limited(2, 4), { code: 'LIMIT_EXCEEDED' });
  await t.throwsAsync(limited(3, 3), { code: 'LIMIT_EXCEEDED' });
});

test('a pinned dependency is found by its ID, and must match the rest of the dependency', async (t) => {
  const store = await openTestStore(t, true);
  const old = await put(store, 'b', [], { version: '1' });
  await put(store, 'b', [], { version: '2' });
  const pinned = { imageName: 'b', imageID: old.imageId };
  const flat = await flatten(store, await put(store, 'a', [pinned]), { limits: defaultLimits, platform });
  t.is(flat[1]?.image.imageId, old.imageId);
  const needing = (name: string, need: object) => put(store, name, [{ ...pinned, ...need }]);
  await failure(t, store, await needing('x', { imageName: 'c' }), 'NAME_MISMATCH');
  await failure(t, store, await needing('y', { labels: [{ name: 'version', value: '2' }] }), 'LABEL_MISMATCH');
  await failure(t, store, await needing('z', { size: old.size + 1 }), 'SIZE_MISMATCH');
  await failure(t, store, await needing('w', { imageID: `sha512-${'0'.repeat(128)}` }), 'NOT_IN_STORE');
});

test('a platform that a dependency leaves open is that of the image, else that of this machine, else any', async (t) => {
  const store = await openTestStore(t, true);
  await put(store, 'b', [], { os: 'linux', arch: 'amd64' });
  await put(store, 'b', [], { os: 'linux', arch: 'aarch64' });
  await put(store, 'c', [], { os: 'linux', arch: 'i386' });
  const arch = async (labels: Record<string, string>, need: string, arch = 'x64') => {
    const options = { limits: defaultLimits, platform: { platform: 'linux', arch } };
    const flat = await flatten(store, await put(store, 'a', [need], labels), options);
    return flat[1]?.image.labels.get('arch');
  };
  t.is(await arch({ os: 'linux', arch: 'aarch64' }, 'b'), 'aarch64');
  t.is(await arch({}, 'b'), 'amd64');
  t.is(await arch({}, 'b', 'arm64'), 'aarch64');
  t.is(await arch({}, 'c'), 'i386');
});
