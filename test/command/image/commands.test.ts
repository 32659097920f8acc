import { createHash } from 'node:crypto';
import { access, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import type { StoredImage } from '../../../src/store/store.ts';
import { buildAci } from '../../helpers/archive.ts';
import { damageFile } from '../../helpers/damage.ts';
import type { CliResult } from '../../helpers/run-cli.ts';
import { runHere } from '../../helpers/run-here.ts';
import { storeContext } from '../../helpers/store-context.ts';
import { putImage, temporaryDirectory } from '../../helpers/stored.ts';

const app = { name: 'example.com/app', version: '1.0', size: 20_000 };
const key = 'ab'.repeat(20);

type Shell = {
  readonly app: StoredImage;
  readonly other: StoredImage;
  readonly dir: string;
  readonly blob: (image: StoredImage) => string;
  readonly image: (...args: string[]) => Promise<CliResult>;
};

async function shell(t: ExecutionContext): Promise<Shell> {
  const { store } = await storeContext(t);
  const one = await putImage(store, app, { verified: [key], source: 'https://example.com/app.aci' });
  const other = await putImage(store, { name: 'example.com/app', version: '2.0', size: 3000 }, { latest: true });
  await store.close();
  const image = (...args: string[]): Promise<CliResult> => runHere(['image', ...args, '--dir', store.dir]);
  return { app: one, other, dir: store.dir, blob: ({ imageId }) => store.blobPath(imageId), image };
}

test('list shows a table with IDs of 12 digits, names with versions, relative times and sizes', async (t) => {
  const { image, app, other } = await shell(t);
  const { code, stdout, stderr } = await image('list');
  t.is(stderr, '');
  t.is(code, 0);
  const [header = '', first = '', second = ''] = stdout.split('\n');
  t.regex(header, /^ID +NAME +IMPORT TIME +LAST USED +SIZE +LATEST$/);
  t.regex(
    first,
    new RegExp(`^${app.imageId.slice(0, 19)}  example.com/app:1.0  (just now|\\d+ [a-z]+ ago) .* KiB  false$`),
  );
  t.true(second.startsWith(`${other.imageId.slice(0, 19)}  example.com/app:2.0`));
  t.is(first.indexOf('example.com'), header.indexOf('NAME'));
});

test('list follows --fields, --sort, --order, --no-legend and --full', async (t) => {
  const { image, app, other } = await shell(t);
  const { stdout } = await image('list', '--fields=size,name,verified', '--sort', 'size', '--no-legend');
  t.is(
    stdout.split('\n')[0]?.replaceAll(/ +/g, ' ').trim(),
    `${(other.size / 1024).toFixed(1).replace('.0', '')} KiB example.com/app:2.0 no`.replace(/^/, '').trim(),
  );
  const full = await image('list', '--full', '--fields', 'id,size,verified', '--order=desc', '--no-legend');
  const verified = `${key} \\(not trusted now\\)`; // no keystore here trusts it
  t.regex(full.stdout, new RegExp(`^${other.imageId} +${other.size}  no\n${app.imageId}  ${app.size}  ${verified}\n$`));
});

test('bad values of options are usage errors with nothing on stdout', async (t) => {
  const { image } = await shell(t);
  for (const args of [
    ['--fields=id,colour'],
    ['--fields=id,id'],
    ['--sort=latest'],
    ['--order=up'],
    ['--colour'],
    ['extra'],
  ]) {
    const { code, stdout, stderr } = await image('list', ...args);
    t.is(code, 2, args.join(' '));
    t.is(stdout, '');
    t.regex(stderr, /^error: USAGE: .*\n$/);
  }
});

test('list and show write JSON with complete IDs', async (t) => {
  const { image, app } = await shell(t);
  const list = JSON.parse((await image('list', '--output=json')).stdout) as { schema: string; images: unknown[] };
  t.is(list.schema, 'longshore.images/1');
  t.is(list.images.length, 2);
  t.like(list.images[0], { imageID: app.imageId, labels: { version: '1.0' }, verified: [key], size: app.size });
  const show = JSON.parse((await image('show', 'example.com/app:1.0', '--output=json')).stdout) as unknown;
  t.like(show, {
    imageID: app.imageId,
    dependencies: [],
    manifest: { acKind: 'ImageManifest', name: 'example.com/app' },
  });
});

test('show prints what is known of an image', async (t) => {
  const { image, app } = await shell(t);
  const { stdout, code } = await image('show', app.imageId.slice(0, 19));
  t.is(code, 0);
  t.true(stdout.includes(app.imageId));
  t.regex(stdout, new RegExp(`Signed by: +${key}`));
  t.regex(stdout, /Source: +https:\/\/example\.com\/app\.aci/);
});

test('cat-manifest prints the manifest of the archive, by name and by ID', async (t) => {
  const { image, app: stored } = await shell(t);
  const { manifest } = await buildAci(app);
  t.is((await image('cat-manifest', 'example.com/app:1.0')).stdout, `${manifest}\n`);
  t.is((await image('cat-manifest', stored.imageId.slice(0, 19))).stdout, `${manifest}\n`);
  const pretty = await image('cat-manifest', '--pretty-print', 'example.com/app:1.0');
  t.is(pretty.stdout, `${JSON.stringify(JSON.parse(manifest), undefined, '\t')}\n`);
});

test('export writes the image to a file and to the standard output', async (t) => {
  const { image, app } = await shell(t);
  const target = join(await temporaryDirectory(t), 'app.aci');
  const written = await image('export', 'example.com/app:1.0', target);
  t.is(written.stderr, '');
  t.is(written.code, 0);
  t.is(hash(await readFile(target)), app.imageId);
  t.is((await image('export', app.imageId, target)).code, 2);
  t.is((await image('export', app.imageId, target, '--overwrite')).code, 0);
  t.is(hash((await image('export', app.imageId.slice(0, 19), '-')).bytes), app.imageId);
});

test('an image that is not in the store ends with 4 and writes nothing', async (t) => {
  const { image } = await shell(t);
  const dir = await temporaryDirectory(t);
  for (const asked of ['sha512-not-existed', 'some~random~aci~name']) {
    for (const args of [
      ['cat-manifest', asked],
      ['show', asked],
      ['export', asked, join(dir, 'x.aci')],
      ['rm', asked],
    ]) {
      const { code, stdout, stderr } = await image(...args);
      t.is(code, 4, args.join(' '));
      t.is(stdout, '');
      t.regex(stderr, /^error: .*NOT_IN_STORE: .*\n$/);
    }
  }
  t.deepEqual(await readdir(dir), []);
});

test('rm removes what it can, and its exit code reports the rest', async (t) => {
  const { image, app, blob } = await shell(t);
  const { code, stdout, stderr } = await image('rm', 'example.com/app:1.0', 'example.com/none');
  t.is(stdout, `${app.imageId}\n`);
  t.regex(stderr, /error: example\.com\/none: NOT_IN_STORE: /);
  t.is(code, 4);
  await t.throwsAsync(access(blob(app)), { code: 'ENOENT' });
  t.is((await image('rm', 'example.com/app')).code, 0);
  t.is((await image('list', '--no-legend')).stdout, '');
  t.is((await image('rm')).code, 2);
});

test('a word that can be no image of a store stops the command before it does anything: each is named, it ends with 2', async (t) => {
  const { image, app } = await shell(t);
  const target = join(await temporaryDirectory(t), 'out');
  for (const args of [
    ['rm', app.imageId, 'FOO', './x.aci', 'example.com/none'],
    ['verify', app.imageId, 'FOO', './x.aci'],
    ['verify', '--signatures', app.imageId, 'FOO', './x.aci'],
    ['export', '--format=bundle', app.imageId, 'FOO', './x.aci', 'example.com/none', target],
  ]) {
    const { code, stdout, stderr } = await image(...args);
    t.deepEqual([code, stdout], [2, ''], args.join(' '));
    t.regex(stderr, /^error: FOO: REFERENCE_INVALID: .*\nerror: \.\/x\.aci: REFERENCE_INVALID: .*\n$/);
  }
  t.is((await image('list', '--no-legend', '--fields=id')).stdout.split('\n').length, 3);
});

test('verify prints nothing for a sound store; it ends with 8 for damage, and --repair makes the list sound again', async (t) => {
  const { image, app, blob } = await shell(t);
  t.regex((await image('verify')).stdout, /^checked 2 images \(.*\): all sound\n$/);
  await damageFile(blob(app), 'flip');
  const found = await image('verify', '--output=json');
  t.is(found.code, 8);
  t.deepEqual(JSON.parse(found.stdout), {
    schema: 'longshore.verify/1',
    checked: 2,
    damaged: [{ imageID: app.imageId, problem: 'wrong hash', repaired: false }],
    unreferenced: 0,
  });
  t.is((await image('verify', 'example.com/app:2.0')).code, 0);
  const repaired = await image('verify', '--repair');
  t.is(repaired.code, 8);
  t.regex(repaired.stderr, /STORE_CORRUPT: .*taken off the list/);
  const after = await image('verify', '--output=json');
  t.is(after.code, 0);
  t.like(JSON.parse(after.stdout), { checked: 1, damaged: [], unreferenced: 0 });
});

test('a damaged image is not exported', async (t) => {
  const { image, app, blob } = await shell(t);
  const dir = await temporaryDirectory(t);
  await damageFile(blob(app), 'flip');
  for (const target of [join(dir, 'app.aci'), '-']) {
    const { code, stdout } = await image('export', app.imageId, target);
    t.is(code, 8, target);
    t.is(stdout, '');
  }
  t.deepEqual(await readdir(dir), []);
});

test('gc removes no image without a grace period, and a dry run changes nothing', async (t) => {
  const { image, app } = await shell(t);
  t.deepEqual(await image('gc').then(({ code, stdout }) => [code, stdout]), [0, '']);
  t.is((await image('gc', '--grace-period=720h')).stdout, '');
  const dry = await image('gc', '--grace-period=1ms', '--dry-run');
  t.regex(dry.stdout, /would remove 2 images: /);
  t.is((await image('list', '--no-legend')).stdout.split('\n').length, 3);
  const { stdout } = await image('gc', '--grace-period=1ms');
  t.true(stdout.includes(app.imageId.slice(0, 39)));
  t.is((await image('list', '--no-legend')).stdout, '');
});

test('a missing data directory is an empty store, and is not created', async (t) => {
  const dir = join(await temporaryDirectory(t), 'none');
  const image = (...args: string[]): Promise<CliResult> => runHere(['image', ...args], { LONGSHORE_DIR: dir });
  t.deepEqual(JSON.parse((await image('list', '--output=json')).stdout), { schema: 'longshore.images/1', images: [] });
  t.is((await image('list')).code, 0);
  t.is((await image('verify')).code, 0);
  t.is((await image('verify', '--repair')).code, 0);
  t.is((await image('gc')).code, 0);
  t.is((await image('show', 'example.com/app')).code, 4);
  t.is((await image('rm', 'example.com/app')).code, 4);
  await t.throwsAsync(access(dir), { code: 'ENOENT' });
});

test('no control character from outside reaches the terminal', async (t) => {
  const { store } = await storeContext(t);
  await putImage(
    store,
    { name: 'example.com/app', labels: { version: '1\x1b[2J\u202e' } },
    { source: '/tmp/\x9b\n.aci' },
  );
  await store.close();
  for (const args of [
    ['list', '--fields=name,source'],
    ['list', '--output=json'],
    ['show', 'example.com/app'],
    ['show', 'example.com/app', '--output=json'],
  ]) {
    const { stdout } = await runHere(['image', ...args, '--dir', store.dir]);
    t.notRegex(stdout, /[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/, args.join(' '));
    t.regex(stdout, /1\\(x|u00)1b\[2J\\u202e/);
  }
});

function hash(bytes: Uint8Array): string {
  return `sha512-${createHash('sha512').update(bytes).digest('hex')}`;
}
