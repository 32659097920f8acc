import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setImmediate as turn } from 'node:timers/promises';

import test from 'ava';

import { hasCode } from '../../../src/errors.ts';
import { openStore } from '../../../src/store/open-store.ts';
import type { Store } from '../../../src/store/store.ts';
import { commitBlob, openTestStore } from '../../helpers/blob.ts';

/** One store for most tests: each has a name of its own. */
const parent = await mkdtemp(join(tmpdir(), 'longshore-store-'));
const shared = await openStore({ dir: join(parent, 'store') });
test.after.always(async () => {
  await shared.close();
  await rm(parent, { recursive: true });
});

let names = 0;
function freshName(): string {
  names += 1;
  return `example.com/app${names}`;
}

/** Rewrites rows behind the store's back, as another process does: seen from the next turn on. */
async function rewrite(store: Store, sql: string, ...values: readonly string[]): Promise<void> {
  const db = new DatabaseSync(join(store.dir, 'index.sqlite'), { timeout: 5_000 });
  db.prepare(sql).run(...values);
  db.close();
  await turn();
}

const noLabels = new Map<string, string>();

test('a default excludes images that contradict it, not those without the label', async (t) => {
  const name = freshName();
  const other = await commitBlob(shared, { name, labels: { arch: 'aarch64' } });
  const find = async (arch: string) => (await shared.findImage(name, noLabels, new Map([['arch', arch]])))?.imageId;
  t.is(await find('amd64'), undefined);
  t.is(await find('aarch64'), other.imageId);
  const silent = await commitBlob(shared, { name });
  t.is(await find('amd64'), silent.imageId);
});

test('a complete ID and every unique prefix resolve to the image', async (t) => {
  const store = await openTestStore(t);
  const { imageId } = await commitBlob(store);

  t.is(await store.resolveId(imageId), imageId); // T2
  t.is(await store.resolveId(imageId.slice(0, 'sha512-'.length + 64)), imageId);
  t.is(
    await store.resolveId(
      imageId
        .slice(0, 'sha512-'.length + 2)
        .toUpperCase()
        .replace('SHA', 'sha'),
    ),
    imageId,
  ); // T3
});

test('a prefix of several images is ambiguous, and the message names them', async (t) => {
  const store = await openTestStore(t);
  const images = await Promise.all(Array.from({ length: 300 }, () => commitBlob(store))); // 256 beginnings of two digits
  const counts = Map.groupBy(images, ({ imageId }) => imageId.slice(0, 9));
  const [prefix, several] = [...counts].find(([, group]) => group.length > 1) ?? t.fail('no two begin alike');

  const error = await t.throwsAsync(store.resolveId(prefix)); // T4

  t.true(hasCode(error, 'ID_AMBIGUOUS') && error.details.candidates.length === several.length);
});

test('a text that is no prefix, a single digit, and an unknown prefix give different errors', async (t) => {
  const store = await openTestStore(t);
  await t.throwsAsync(store.resolveId('badprefix-1'), { code: 'REFERENCE_INVALID' }); // T5
  await t.throwsAsync(store.resolveId('sha512-1'), { code: 'ID_TOO_SHORT' }); // T6
  await t.throwsAsync(store.resolveId('sha512-12'), { code: 'NOT_IN_STORE' });
});

test('an unknown name finds nothing', async (t) => {
  const name = freshName();
  t.is(await shared.findImage(name, noLabels), undefined); // T9
  t.deepEqual(await shared.imagesNamed(name), []);
});

test('every requested label must exist with its value; others do not matter', async (t) => {
  const name = freshName();
  const image = await commitBlob(shared, { name, labels: { version: '1', os: 'linux' } });

  const find = (labels: Record<string, string>) => shared.findImage(name, new Map(Object.entries(labels)));
  t.deepEqual(await find({}), image); // T10
  t.deepEqual(await find({ os: 'linux' }), image);
  t.deepEqual(await find({ version: '1', os: 'linux' }), image);
  t.is(await find({ version: '2' }), undefined);
  t.is(await find({ version: '1', os: 'freebsd' }), undefined);
  t.is(await find({ arch: 'amd64' }), undefined);
});

test('without a version the image flagged latest is preferred, however old; with one, the one with that version', async (t) => {
  const name = freshName();
  const flagged = await commitBlob(shared, { name, labels: { version: '1.0.0' }, latest: true });
  const newer = await commitBlob(shared, { name, labels: { version: '2.0.0' } });
  await rewrite(shared, 'UPDATE images SET imported_at = 1000 WHERE name = ? AND latest = 1', name);

  const find = async (version?: string) =>
    (await shared.findImage(name, new Map(version === undefined ? [] : [['version', version]])))?.imageId;
  t.is(await find(), flagged.imageId); // T12
  t.is(await find('1.0.0'), flagged.imageId); // T11
  t.is(await find('2.0.0'), newer.imageId);
});

test('among equals the later import is preferred, and of one moment the first', async (t) => {
  const name = freshName();
  const images = [];
  for (let count = 0; count < 4; count += 1) images.push(await commitBlob(shared, { name, labels: { version: '1' } }));
  const find = async (labels = noLabels) => (await shared.findImage(name, labels))?.imageId;

  const second = images[1]?.imageId ?? '';
  await rewrite(
    shared,
    'UPDATE images SET imported_at = 5000 + (id = ?) WHERE name = ?',
    second.slice('sha512-'.length),
    name,
  );
  t.is(await find(), images[1]?.imageId);
  t.is(await find(new Map([['version', '1']])), images[1]?.imageId);

  await rewrite(shared, 'UPDATE images SET imported_at = 5000 WHERE name = ?', name);
  t.is(await find(), images[0]?.imageId);
  t.is(await find(new Map([['version', '1']])), images[0]?.imageId);
});

test('a damaged row is STORE_CORRUPT when it is requested, and skipped where another image matches', async (t) => {
  const name = freshName();
  const good = await commitBlob(shared, { name });
  const bad = await commitBlob(shared, { name, latest: true });
  await rewrite(shared, "UPDATE images SET labels = '[1' WHERE name = ? AND latest = 1", name);

  await t.throwsAsync(shared.getImage(bad.imageId), { code: 'STORE_CORRUPT' });
  t.deepEqual(await shared.findImage(name, noLabels), good);
});

test('the same image twice is one row, another of the same name is a second row', async (t) => {
  const name = freshName();
  const content = Buffer.from('the same');
  await commitBlob(shared, { name, content });
  await commitBlob(shared, { name, content });
  t.is((await shared.imagesNamed(name)).length, 1); // T16
  await commitBlob(shared, { name });
  t.is((await shared.imagesNamed(name)).length, 2); // T17
});

test('all images are listed by import time, across pages, each once', async (t) => {
  const store = await openTestStore(t);
  await Promise.all(Array.from({ length: 600 }, () => commitBlob(store)));
  await rewrite(store, 'UPDATE images SET imported_at = 1000 + seq % 2');

  const images = await Array.fromAsync(store.images());

  t.is(new Set(images.map(({ imageId }) => imageId)).size, 600);
  const times = images.map(({ importedAtMs }) => importedAtMs);
  t.deepEqual(
    times,
    times.toSorted((a, b) => a - b),
  );
});

test('a manifest is returned as in the archive', async (t) => {
  const name = freshName();
  const { imageId } = await commitBlob(shared, { name });
  t.is(await shared.manifest(imageId), '{"acKind":"ImageManifest"}');
  await shared.remove(imageId);
  await t.throwsAsync(shared.manifest(imageId), { code: 'NOT_IN_STORE' }); // T8
});

test('dependencies are returned as they were stored', async (t) => {
  const name = freshName();
  const dependencies = [
    {
      imageName: 'example.com/base',
      labels: new Map([
        ['version', '1'],
        ['10', 'x'],
        ['2', 'y'],
      ]),
      imageId: 'sha512-ab',
      size: 3,
    },
    { imageName: 'example.com/other', labels: new Map<string, string>() },
  ];
  const { imageId } = await commitBlob(shared, { name, dependencies });
  t.deepEqual((await shared.getImage(imageId))?.dependencies, dependencies);
});
