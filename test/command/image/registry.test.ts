import { createHash } from 'node:crypto';
import { access, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { damageFile } from '../../helpers/damage.ts';
import { namesInIndex, putRegistryImage } from '../../helpers/registry-image.ts';
import { runHere } from '../../helpers/run-here.ts';
import { storeContext } from '../../helpers/store-context.ts';
import { putImage, temporaryDirectory } from '../../helpers/stored.ts';

/** A store with an image of a registry that was converted, and one that was not. */
async function shell(t: ExecutionContext) {
  const { store } = await storeContext(t);
  const made = await putImage(store, { name: 'registry-1.docker.io/library/app', version: '1', size: 3000 });
  const kept = await putRegistryImage(store, { content: '1', imageId: made.imageId });
  const pure = await putRegistryImage(store, { reference: 'quay.io/team/app:2', content: '2' });
  await store.close();
  const image = (...args: string[]) => runHere(['image', ...args, '--dir', store.dir]);
  return { store, made, kept, pure, image };
}

test('list shows references, and complete digests in the column of IDs; an image that is kept as both is one row', async (t) => {
  const { image, made, kept, pure } = await shell(t);
  const { code, stdout, stderr } = await image('list', '--no-legend', '--fields=id,name,digest');
  t.deepEqual([code, stderr], [0, '']);
  const rows = stdout.trim().split('\n');
  t.deepEqual(
    rows.map((row) => row.split(/ {2,}/)),
    [
      [kept.manifest.digest, 'docker.io/library/app:1', kept.manifest.digest],
      [pure.manifest.digest, 'quay.io/team/app:2', pure.manifest.digest],
    ],
  );
  const json = JSON.parse((await image('list', '--output=json')).stdout) as { images: readonly object[] };
  t.like(json.images[0], { imageID: kept.manifest.digest, convertedTo: made.imageId, reference: kept.reference });
});

test('show prints manifest, configuration, layers and platform, for any prefix of the digest', async (t) => {
  const { image, pure } = await shell(t);
  const { code, stdout } = await image('show', pure.manifest.digest.slice(0, 20));
  t.is(code, 0);
  for (const text of [...pure.blobs, 'quay.io/team/app:2', 'linux/amd64']) t.true(stdout.includes(text), text);
  const json = JSON.parse((await image('show', pure.reference, '--output=json')).stdout) as {
    readonly manifest: { readonly config: { readonly digest: string }; readonly layers: readonly object[] };
  };
  t.like(json, {
    imageID: pure.manifest.digest,
    references: [pure.reference],
    config: json.manifest.config.digest,
    platform: { os: 'linux', architecture: 'amd64' },
  });
  t.is(json.manifest.layers.length, 1);
});

test('cat-manifest prints exactly the bytes of the digest', async (t) => {
  const { image, pure } = await shell(t);
  const { bytes } = await image('cat-manifest', pure.manifest.digest);
  t.is(`sha256:${createHash('sha256').update(bytes).digest('hex')}`, pure.manifest.digest);
  const pretty = await image('cat-manifest', '--pretty-print', `docker://${pure.reference}`);
  t.is(pretty.stdout, `${JSON.stringify(JSON.parse(String(bytes)), undefined, '\t')}\n`);
});

test('show names the other form of an image that is kept as both', async (t) => {
  const { image, made, kept } = await shell(t);
  t.regex((await image('show', kept.manifest.digest)).stdout, new RegExp(`^Converted to: +${made.imageId}$`, 'm'));
  t.regex((await image('show', made.imageId)).stdout, new RegExp(`^Made of: +${kept.reference}$`, 'm'));
  const { stdout } = await image('show', made.imageId, '--output=json');
  t.like(JSON.parse(stdout), { imageID: made.imageId, madeOf: [kept.reference] });
});

test('rm accepts digests and references, and removes the converted image too', async (t) => {
  const { image, kept, pure } = await shell(t);
  const { code, stdout } = await image('rm', kept.manifest.digest, 'docker://quay.io/team/app:2', 'sha256:00000000');
  t.is(code, 4);
  t.is(stdout, `${kept.manifest.digest}\n${pure.manifest.digest}\n`);
  t.is((await image('list', '--no-legend', '--full', '--fields=id')).stdout, '');
});

test('gc removes the blobs of a removed image, and reports their size', async (t) => {
  const { image, kept } = await shell(t);
  t.is((await image('gc')).stdout, '');
  t.regex((await image('gc', '--grace-period=1ms', '--dry-run')).stdout, /would remove 2 images: /);
  const { stdout } = await image('gc', '--grace-period=1ms');
  t.true(stdout.includes(`${kept.manifest.digest}  docker.io/library/app:1`));
  t.is((await image('list', '--no-legend')).stdout, '');
});

test('gc reports that it keeps blobs because index.json cannot be read', async (t) => {
  const { image, store } = await shell(t);
  const path = join(store.dir, 'index.json');
  await writeFile(path, 'no JSON');
  t.is((await image('gc', '--dry-run')).code, 0);
  const { code, stderr } = await image('gc');
  t.is(code, 8);
  t.regex(stderr, /^error: index\.json: STORE_CORRUPT: .*verify --repair.*\n$/);
  t.is((await image('verify', '--repair')).code, 0);
  t.is((await image('gc')).code, 0);
});

test('verify reports that index.json cannot be read, and leaves it unchanged', async (t) => {
  const { image, store } = await shell(t);
  const path = join(store.dir, 'index.json');
  await writeFile(path, '{"schemaVersion":1}');
  const { code, stdout, stderr } = await image('verify');
  t.is(code, 8);
  t.regex(stdout, /: all sound/);
  t.regex(stderr, /^error: index\.json: STORE_CORRUPT: .*it is no index of version 2.*verify --repair.*\n$/);
  t.is(await readFile(path, 'utf8'), '{"schemaVersion":1}');
  t.is((await image('verify', '--repair')).code, 0);
  t.is((await image('verify')).code, 0);
});

test('verify names a damaged blob by its digest and ends with 8; a repair that cannot fetch it unlists its image', async (t) => {
  const { image, store, made, kept, pure } = await shell(t);
  t.regex((await image('verify')).stdout, /^checked 1 image and 5 blobs of registry images \(.*\): all sound\n$/);
  await damageFile(store.digestPath(pure.manifest.digest), 'flip', 30);
  const found = await image('verify', '--output=json');
  t.is(found.code, 8);
  t.deepEqual(JSON.parse(found.stdout), {
    schema: 'longshore.verify/1',
    checked: 6,
    damaged: [{ digest: pure.manifest.digest, problem: 'wrong hash', repaired: false }],
    unreferenced: 0,
  });
  for (const name of [kept.manifest.digest, kept.reference, made.imageId])
    t.regex((await image('verify', name)).stdout, /^checked 1 image and 3 blobs of registry images/, name);
  t.is((await image('verify', pure.reference)).code, 8);

  await writeFile(join(store.dir, 'index.json'), 'no JSON');
  const repaired = await image('verify', '--repair');
  t.is(repaired.code, 8);
  t.regex(repaired.stderr, /warning: index\.json could not be read/);
  t.regex(repaired.stderr, /STORE_CORRUPT: a blob of quay\.io\/team\/app:2 is damaged: wrong hash; taken off the list/);
  t.deepEqual(await namesInIndex(store.dir), [kept.reference]);
  t.is((await image('verify')).code, 0);
});

test('export writes an OCI archive of a registry image, and the requested format', async (t) => {
  const { image, made, kept, pure } = await shell(t);
  const dir = await temporaryDirectory(t);
  const at = (name: string): string => join(dir, name);
  const run = async (...args: string[]): Promise<number> => (await image('export', ...args)).code;
  t.is(await run(pure.manifest.digest, at('oci.tar')), 0);
  t.is(await run(made.imageId, at('app.aci')), 0);
  t.is(await run('--format=aci', kept.manifest.digest, at('same.aci')), 0);
  t.is(await run('--format=docker', made.imageId, at('docker.tar')), 0);
  t.is(await run(kept.reference, `${at('layout')}/`), 0);
  t.is((await stat(at('same.aci'))).size, made.size);
  t.deepEqual((await readdir(at('layout'))).sort(), ['blobs', 'index.json', 'oci-layout']);
  t.deepEqual((await image('export', pure.reference, '-')).bytes.subarray(0, 10).toString(), 'oci-layout');

  t.is(await run('--format=aci', pure.manifest.digest, at('pure.aci')), 0);
  t.is(await run('--format=docker', pure.manifest.digest, dir), 2);
  t.is(await run('--format=tar', pure.manifest.digest, at('none.tar')), 2);
  t.is(await run(pure.manifest.digest, ''), 2);
  t.is(await run(pure.manifest.digest, at('oci.tar')), 2);
  t.is(await run('--overwrite', pure.manifest.digest, at('oci.tar')), 0);
  t.deepEqual((await readdir(dir)).sort(), ['app.aci', 'docker.tar', 'layout', 'oci.tar', 'pure.aci', 'same.aci']);
});

test('an image that is not from a registry cannot be exported as one', async (t) => {
  const { store } = await storeContext(t);
  await putImage(store, { name: 'example.com/app' });
  await store.close();
  const target = join(await temporaryDirectory(t), 'out.tar');
  const args = ['image', 'export', '--format=oci', 'example.com/app', target, '--dir', store.dir];
  const { code, stderr } = await runHere(args);
  t.is(code, 4);
  t.regex(stderr, /NOT_IN_STORE: the store does not have the registry image/);
  await t.throwsAsync(access(target), { code: 'ENOENT' });
});

test('extract and render accept a digest, of an image that was not converted too', async (t) => {
  const { image, kept, pure } = await shell(t);
  const dir = await temporaryDirectory(t);
  t.is((await image('extract', kept.manifest.digest, join(dir, 'app'))).code, 0);
  t.is((await image('extract', pure.manifest.digest, join(dir, 'pure'))).code, 0);
  t.is((await image('render', pure.reference, join(dir, 'rendered'))).code, 0);
  for (const name of ['pure', 'rendered']) t.deepEqual(await readdir(join(dir, name)), ['manifest', 'rootfs']);
  t.is((await image('list', '--no-legend')).stdout.trim().split('\n').length, 2);
});

test('a limit for an archive that is made can be set', async (t) => {
  const { image, pure } = await shell(t);
  const target = join(await temporaryDirectory(t), 'app.aci');
  const { code, stderr } = await image('export', '--format=aci', '--limit=unpacked=1K', pure.reference, target);
  t.is(code, 5);
  t.regex(stderr, /LIMIT_EXCEEDED: .*--limit unpacked=VALUE/);
  await t.throwsAsync(access(target), { code: 'ENOENT' });
});
