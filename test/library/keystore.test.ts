import { access, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';

import { formatRule } from '../../src/image/sigstore/identity.ts';
import { createFetcher, hasCode, openKeystore, type TrustOptions } from '../../src/index.ts';
import { serveReferrers } from '../helpers/attached.ts';
import { putBundle } from '../helpers/cosign.ts';
import { openGpg } from '../helpers/keys.ts';
import { openPublic } from '../helpers/public-store.ts';
import { startRegistry } from '../helpers/registry.ts';
import { layerOf } from '../helpers/registry-fetching.ts';
import { createAuthorities, provider, workflow } from '../helpers/sigstore.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

const gpg = await openGpg();
const key = await gpg.createKey({ userId: 'Somebody <somebody@example.com>' });
const other = await gpg.createKey();
test.after.always(() => gpg.close());

test('a key is trusted, listed and distrusted from code', async (t) => {
  const base = await temporaryDirectory(t);
  const dirs = [join(base, 'system'), join(base, 'own')];
  await using keystore = await openKeystore({ dirs });
  t.deepEqual(keystore.dirs, dirs);

  const pem = (await gpg.certificate(key)).toString();
  const trusted = await keystore.trust(pem, { prefix: 'example.com/team' });
  t.like(trusted, [{ fingerprint: key, identities: ['Somebody <somebody@example.com>'] }]);
  t.true(trusted[0]?.path.startsWith(`${dirs[1]}/trustedkeys/prefix.d/`));
  await keystore.trust(await gpg.certificate(other), { root: true, dir: dirs[0] });

  const rows = (await keystore.list()).map(({ fingerprint, prefix, root, layer }) => ({
    fingerprint,
    prefix,
    root,
    layer,
  }));
  t.deepEqual(
    rows.sort((a, b) => a.layer - b.layer),
    [
      { fingerprint: other, prefix: undefined, root: true, layer: 0 },
      { fingerprint: key, prefix: 'example.com/team', root: undefined, layer: 1 },
    ],
  );

  t.true(await keystore.distrust(key, { prefix: 'example.com/team' }));
  t.false(await keystore.distrust(key, { prefix: 'example.com/team' }));
  await t.throwsAsync(access(trusted[0]?.path ?? ''), { code: 'ENOENT' });
  t.true(await keystore.distrust(other, { root: true }));
  t.deepEqual(
    (await keystore.list()).map(({ fingerprint, masked }) => [fingerprint, masked]),
    [[other, true]],
    'a key of an earlier directory is masked',
  );
});

test('what cannot be trusted is refused, and nothing is written', async (t) => {
  const dir = await temporaryDirectory(t);
  await using keystore = await openKeystore({ dirs: [dir] });
  const pem = await gpg.certificate(key);
  const refusals: readonly (readonly [code: 'KEY_INVALID' | 'NAME_INVALID', call: () => Promise<unknown>])[] = [
    ['KEY_INVALID', () => keystore.trust('no key', { root: true })],
    ['KEY_INVALID', async () => keystore.trust(await gpg.secretKey(key), { root: true })],
    ['NAME_INVALID', () => keystore.trust(pem, { prefix: '../../x' })],
    ['NAME_INVALID', () => keystore.distrust(key, { prefix: '../../x' })],
    ['KEY_INVALID', () => keystore.distrust('../../x', { root: true })],
  ];
  for (const [code, call] of refusals) {
    const error = await t.throwsAsync(call);
    t.true(hasCode(error, code), String(error));
  }
  t.deepEqual(await keystore.list(), []);
});

test('what a keystore is given is checked', async (t) => {
  const dir = await temporaryDirectory(t);
  await using keystore = await openKeystore({ dirs: [dir], onWarning: undefined });
  const wrong = (options: object) => options as unknown as TrustOptions;
  const calls: readonly (readonly [option: string, call: () => Promise<unknown>])[] = [
    ['dirs', () => openKeystore({} as { dirs: [] })],
    ['dirs', () => openKeystore({ dirs: ['keys'] })],
    ['dirs', () => openKeystore({ dirs: [] })],
    ['onWarning', () => openKeystore({ dirs: [dir], onWarning: 5 } as unknown as { dirs: [] })],
    ['key', () => keystore.trust(5 as unknown as string, { root: true })],
    ['prefix', () => keystore.trust('', {})],
    ['prefix', () => keystore.trust('', { prefix: 'example.com', root: true })],
    ['prefixes', () => keystore.trust('', wrong({ prefixes: ['x'] }))],
    ['dir', () => keystore.trust('', { root: true, dir: join(dir, 'other') })],
    ['dir', () => keystore.distrust(key, { root: true, dir: 'relative' })],
    ['fingerprint', () => keystore.distrust(5 as unknown as string, { root: true })],
  ];
  for (const [option, call] of calls) {
    const error = await t.throwsAsync(call, undefined, option);
    t.true(hasCode(error, 'USAGE') && error.details.option === option, `${option}: ${String(error)}`);
  }
});

test('certificates are judged by the trusted root that is named, or that of the directories', async (t) => {
  const authorities = await createAuthorities();
  const registry = await startRegistry(t);
  const image = registry.putImage('team/app', '1', { layers: [await layerOf({ a: 'a' })] });
  const bundle = Buffer.from(JSON.stringify(await authorities.bundle({ digest: image.digest })));
  serveReferrers(registry, 'team/app', { to: image, manifests: [putBundle(registry, 'team/app', image, bundle)] });
  const dir = await temporaryDirectory(t);
  const trustedRoot = join(dir, 'named.json');
  await writeFile(trustedRoot, authorities.rootFile);
  const { store } = await openPublic(t);
  const rule = formatRule({ subject: { text: workflow }, issuer: { text: provider } });
  const fetch = async (root: string | undefined): Promise<string> => {
    await using keystore = await openKeystore({ dirs: [dir], trustedRoot: root });
    await keystore.trust(rule, { prefix: `${registry.host}/team` });
    await using fetcher = createFetcher({ store, keystore, workers: 1 });
    return await fetcher.fetchImage(`docker://${registry.host}/team/app:1`);
  };
  await t.throwsAsync(fetch(undefined), { code: 'KEY_UNKNOWN' } as object);
  await t.throwsAsync(fetch(join(dir, 'missing.json')), { code: 'FILE_NOT_FOUND' } as object);
  t.regex(await fetch(trustedRoot), /^sha512-/);
  await t.throwsAsync(openKeystore({ dirs: [dir], trustedRoot: 'relative.json' }), { code: 'USAGE' } as object);
});
