import { access, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync, zstdDecompressSync } from 'node:zlib';

import test, { type ExecutionContext } from 'ava';

import { digestOf, putRegistryImage } from '../../helpers/registry-image.ts';
import { runHere } from '../../helpers/run-here.ts';
import { fits } from '../../helpers/schemas.ts';
import { storeContext } from '../../helpers/store-context.ts';
import { putImage, temporaryDirectory } from '../../helpers/stored.ts';
import { untar } from '../../helpers/untar.ts';

/** A store with two images of a registry and two archives, one of which needs the other. */
async function shell(t: ExecutionContext) {
  const { store } = await storeContext(t);
  await putImage(store, { name: 'example.com/base', size: 1000 });
  const dependencies = [{ imageName: 'example.com/base' }];
  const app = await putImage(store, { name: 'example.com/app', version: '1', size: 1000, dependencies });
  const one = await putRegistryImage(store, { content: '1' });
  const two = await putRegistryImage(store, { reference: 'quay.io/team/app:2', content: '2' });
  await store.close();
  const directory = await temporaryDirectory(t);
  const at = (name: string): string => join(directory, name);
  const longshore = (...args: string[]) => runHere(args.includes('--dir') ? args : [...args, '--dir', store.dir]);
  /** Names of registry images and of archives in what was written. */
  const exported = async (...args: string[]): Promise<readonly string[]> => {
    const { code, bytes, stderr } = await longshore('image', 'export', ...args);
    t.is(code, 0, stderr);
    const file = args.at(-1) ?? '';
    return namesIn(t, file === '-' ? bytes : await readFile(file));
  };
  return { app, one, two, directory, at, longshore, exported };
}

async function namesIn(t: ExecutionContext, bytes: Buffer): Promise<readonly string[]> {
  const files = await untar(bytes);
  const text = (name: string): string => String(files.get(name));
  if (files.has('longshore/bundle.json')) {
    type Document = { archives: readonly { name: string }[]; images: readonly { reference: string }[] };
    const { archives, images } = fits(t, text('longshore/bundle.json')) as Document;
    return ['bundle', ...images.map(({ reference }) => reference), ...archives.map(({ name }) => name).sort()];
  }
  if (files.has('manifest.json')) {
    const entries = JSON.parse(text('manifest.json')) as readonly { RepoTags: readonly string[] }[];
    return ['docker-archive', ...entries.flatMap(({ RepoTags }) => RepoTags)];
  }
  const { manifests } = JSON.parse(text('index.json')) as {
    manifests: readonly { annotations: Record<string, string> }[];
  };
  return ['oci-archive', ...manifests.map(({ annotations }) => annotations['io.containerd.image.name'] ?? '')];
}

test('several images make an OCI archive, or a bundle if archives are among them, with what those need', async (t) => {
  const { one, two, at, exported } = await shell(t);
  const both = [one.reference, two.reference];
  t.deepEqual(await exported(one.reference, `docker://${two.reference}`, at('a.tar')), ['oci-archive', ...both]);
  t.deepEqual(await exported('example.com/app', one.reference, at('b.tar')), [
    'bundle',
    one.reference,
    'example.com/app',
    'example.com/base',
  ]);
  t.deepEqual(await exported('--all', at('c.tar')), ['bundle', ...both, 'example.com/app', 'example.com/base']);
  t.deepEqual(await exported('--all', '--format=docker-archive', '-'), ['docker-archive', ...both]);
  t.deepEqual(await exported('--format=bundle', 'example.com/app', '-'), [
    'bundle',
    'example.com/app',
    'example.com/base',
  ]);
  t.deepEqual(await exported('--format=oci-archive', one.reference, '-'), ['oci-archive', one.reference]);
});

test('a list is read as a fetch would read it; what it or an operand names and the store lacks is named, and nothing is written', async (t) => {
  const { one, two, directory, at, longshore, exported } = await shell(t);
  await writeFile(at('list.txt'), `docker://app:1\nexample.com/app:1\n`);
  await writeFile(at('tags.yaml'), `quay.io:\n  images-by-semver: {team/app: ">=1"}\n`);
  t.deepEqual(await exported('-f', at('list.txt'), '-f', at('tags.yaml'), at('a.tar')), [
    'bundle',
    one.reference,
    two.reference,
    'example.com/app',
    'example.com/base',
  ]);
  await writeFile(at('list.txt'), `docker://app:9\nexample.com/none\ndocker://app:1\n`);
  const { code, stderr } = await longshore('image', 'export', 'docker://app:8', '-f', at('list.txt'), at('b.tar'));
  t.is(code, 4);
  for (const name of ['docker://app:8', 'docker://app:9', 'example.com/none'])
    t.regex(stderr, new RegExp(`${name}.*NOT_IN_STORE`));
  await writeFile(at('list.txt'), `docker://UPPER\n`);
  t.is((await longshore('image', 'export', '-f', at('list.txt'), at('b.tar'))).code, 2);
  t.false((await readdir(directory)).includes('b.tar'));
});

test('where no image is selected nothing is written, and the store is named', async (t) => {
  const { directory, at, longshore } = await shell(t);
  await writeFile(at('list.txt'), '');
  for (const args of [
    ['--all', '--dir', at('absent'), at('a.tar')],
    ['--all', '--dir', at('absent'), '-'],
    ['-f', at('list.txt'), at('a.tar')],
  ]) {
    const { code, bytes, stderr } = await longshore('image', 'export', ...args);
    t.is(code, 4);
    t.is(bytes.length, 0);
    t.notRegex(stderr, /warning/);
    t.regex(stderr, /NOT_IN_STORE: the store in \/.* has no image.*: nothing is written/);
  }
  t.deepEqual(await readdir(directory), ['list.txt']);
});

test('formats that take no archives leave them out with a warning, and refuse one that is named', async (t) => {
  const { one, two, at, longshore } = await shell(t);
  const all = await longshore('image', 'export', '--all', '--format=oci-archive', '-');
  t.deepEqual(await namesIn(t, all.bytes), ['oci-archive', one.reference, two.reference]);
  t.regex(all.stderr, /warning: 2 archives \(ACIs\) are left out/);
  const refused = await longshore(
    'image',
    'export',
    '--format=docker-archive',
    one.reference,
    'example.com/app',
    at('a.tar'),
  );
  t.is(refused.code, 4);
  t.regex(refused.stderr, /example.com\/app.*NOT_IN_STORE: it is an archive/);
});

test('a bundle is compressed, and leaves out what the other side lists, or the lock that it was filled with', async (t) => {
  const { app, one, two, at, longshore, exported } = await shell(t);
  const packed = await longshore('image', 'export', '--all', '--compress=zstd', '-');
  t.is((await namesIn(t, zstdDecompressSync(packed.bytes))).length, 5);
  t.is((await longshore('image', 'export', '--compress=gzip', one.reference, at('one.tgz'))).code, 0);
  t.deepEqual([...(await readFile(at('one.tgz'))).subarray(0, 2)], [0x1f, 0x8b]);

  const list = JSON.parse((await longshore('image', 'list', '--output=json')).stdout) as {
    images: readonly { imageID: string }[];
  };
  const there = list.images.filter(({ imageID }) => [one.manifest.digest, app.imageId].includes(imageID as never));
  await writeFile(at('there.json'), JSON.stringify({ ...list, images: there }));
  t.deepEqual(await exported('--all', '--without', at('there.json'), at('update.tar')), [
    'bundle',
    two.reference,
    'example.com/base',
  ]);
  const lock = {
    schema: 'longshore.lock/2',
    images: {
      [`docker://${one.reference}`]: { digest: one.manifest.digest, platforms: { 'linux/amd64': one.manifest.digest } },
      'example.com/app:1': { imageID: app.imageId },
    },
  };
  await writeFile(at('lock.json'), JSON.stringify(lock));
  t.deepEqual(await exported('--all', '--without', at('lock.json'), at('again.tar')), [
    'bundle',
    two.reference,
    'example.com/base',
  ]);
  const { leftOut } = fits(t, String((await untar(await readFile(at('again.tar')))).get('longshore/bundle.json'))) as {
    leftOut: readonly string[];
  };
  t.deepEqual(leftOut, [digestOf(gzipSync(Buffer.alloc(1024)))] as never, 'the layer that both images have');
  for (const bad of ['{}', 'x', '{"schema":"longshore.images/1","images":[{}]}']) {
    await writeFile(at('bad.json'), bad);
    const { code, stderr } = await longshore('image', 'export', '--all', '--without', at('bad.json'), at('none.tar'));
    t.is(code, 2, bad);
    if (bad === '{}') t.regex(stderr, /bad\.json": is neither what image list --output=json writes nor a lock file/);
  }
  t.is((await longshore('image', 'export', '--all', '--without', at('missing.json'), at('none.tar'))).code, 2);
});

test('a directory becomes a layout, and is added to; a bundle if archives are among the images', async (t) => {
  const { one, two, at, longshore } = await shell(t);
  const run = async (...args: string[]): Promise<number> => (await longshore('image', 'export', ...args)).code;
  t.is(await run(one.reference, `${at('layout')}/`), 0);
  t.is(await run('--format=oci', two.reference, one.reference, at('layout')), 0);
  const { manifests } = JSON.parse(await readFile(at('layout/index.json'), 'utf8')) as { manifests: readonly object[] };
  t.is(manifests.length, 2);
  t.is(await run('--all', at('layout')), 0);
  await access(at('layout/longshore/bundle.json'));
  t.is(await run('--all', '--format=docker-archive', at('layout')), 2);
  t.is(await run('--all', '--compress=gzip', at('layout')), 2);
});

test('what cannot be meant is refused before anything is written', async (t) => {
  const { one, two, directory, at, longshore } = await shell(t);
  for (const args of [
    [at('a.tar')],
    [one.reference, two.reference, '--format=oci', at('a.tar')],
    ['--all', '--format=aci', at('a.tar')],
    ['--all', '--format=tar', at('a.tar')],
    [one.reference, '--format=oci', '--compress=gzip', at('a.tar')],
    ['--all', '--format=oci-archive', '--without', at('x'), at('a.tar')],
    ['--all', '--compress=xz', at('a.tar')],
    ['--all', ''],
  ]) {
    const { code, stderr } = await longshore('image', 'export', ...args);
    t.is(code, 2, args.join(' '));
    t.regex(stderr, /USAGE/);
  }
  t.regex(
    (await longshore('image', 'export', one.reference, two.reference, at('a.tar'), '--bogus')).stderr,
    /Unknown argument: bogus/,
  );
  t.deepEqual(await readdir(directory), []);
});
