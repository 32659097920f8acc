import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import test from 'ava';

import { openStore } from '../../src/store/open-store.ts';
import type { PartialDownload } from '../../src/store/store.ts';
import { startStoreProcess } from '../helpers/store-process.ts';

/** One store for all: each test has a URL of its own. */
const parent = await mkdtemp(join(tmpdir(), 'longshore-store-'));
const store = await openStore({ dir: join(parent, 'store') });
test.after.always(async () => {
  await store.close();
  await rm(parent, { recursive: true });
});

let urls = 0;
function freshUrl(): string {
  urls += 1;
  return `https://user:secret@example.com/${urls}.aci?token=secret`;
}

const validator = { kind: 'etag', value: '"1"' } as const;

function sidecarOf(partial: PartialDownload): string {
  return join(partial.path, '..', 'state.json');
}

/** A download that was interrupted: 20 bytes, of which 10 are known to be synced. */
async function interrupted(url: string): Promise<PartialDownload> {
  const partial = await store.openPartial(url);
  await partial.restart({ validator, total: 1000 });
  await partial.append([Buffer.from('01234'), Buffer.from('56789')]);
  await partial.sync();
  await partial.append([Buffer.from('abcdefghij')]);
  return partial;
}

async function edit(path: string, change: (text: string) => string): Promise<void> {
  await writeFile(path, change(await readFile(path, 'utf8')));
}

test('a closed download is resumed where it stopped', async (t) => {
  const url = freshUrl();
  await (await interrupted(url)).close();

  const partial = await store.openPartial(url);

  t.like(partial, { bytes: 20, total: 1000, validator });
  await partial.append([Buffer.from('!')]);
  await partial.close();
  t.is(await readFile(partial.path, 'utf8'), '0123456789abcdefghij!');
  t.is((await store.openPartial(`${url}&more`)).bytes, 0);
});

test('the sidecar contains neither credentials nor query', async (t) => {
  const url = freshUrl();
  const partial = await interrupted(url);
  t.notRegex(await readFile(sidecarOf(partial), 'utf8'), /secret/);
  await partial.close();
});

test('a restart makes a new empty file at another path, and removes the old one', async (t) => {
  const url = freshUrl();
  const partial = await interrupted(url);
  const old = partial.path;

  await partial.restart({ total: 5 });

  t.like(partial, { bytes: 0, total: 5, validator: undefined });
  t.not(partial.path, old);
  t.is((await stat(partial.path)).size, 0);
  t.deepEqual(await readdir(join(partial.path, '..')), ['2.part']);
  await partial.close();
});

test('a discarded download leaves nothing and can start over', async (t) => {
  const url = freshUrl();
  const partial = await interrupted(url);
  await partial.discard();
  t.is(partial.bytes, 0);
  t.false(existsSync(join(partial.path, '..')));

  await partial.restart({});
  await partial.append([Buffer.from('x')]);
  await partial.close();
  t.is((await store.openPartial(url)).bytes, 1);
});

test('a download that never got a byte leaves nothing', async (t) => {
  const partial = await store.openPartial(freshUrl());
  await partial.restart({ validator });
  await partial.close();
  t.false(existsSync(join(partial.path, '..')));
});

test('a body that is complete with its first bytes gets no sidecar', async (t) => {
  const url = freshUrl();
  const partial = await store.openPartial(url);
  await partial.restart({ total: 3 });
  await partial.append([Buffer.from('abc')]);
  t.deepEqual(await readdir(join(partial.path, '..')), ['1.part']);
  await partial.discard();
});

test('after a SIGKILL all appended bytes are there', async (t) => {
  const url = freshUrl();
  const process = startStoreProcess(t, ['append', store.dir, url]);
  let said = 0;
  for (let lines = 0; lines < 5; lines += 1) said = Number(await process.line());

  await process.kill();

  const partial = await store.openPartial(url);
  t.true(partial.bytes >= said && said >= 50_000);
  t.like(partial, { total: 1e9, validator });
  const bytes = await readFile(partial.path);
  t.is(bytes.length, partial.bytes);
  t.true(bytes.every((byte, at) => byte === Math.floor(at / 10_000)));
});

test('after a reboot only synced bytes count, and from then on all new ones', async (t) => {
  const url = freshUrl();
  const before = await interrupted(url);
  await edit(sidecarOf(before), (text) => text.replace(/"bootId":"[^"]*"/, '"bootId":"another"'));

  const after = await store.openPartial(url);
  t.is(after.bytes, 10);
  t.is(await readFile(after.path, 'utf8'), '0123456789');
  await after.append([Buffer.from('xyz')]);

  t.is((await store.openPartial(url)).bytes, 13); // as after a SIGKILL
  await after.close();
});

const damages: Record<string, (partial: PartialDownload) => Promise<void>> = {
  'a torn sidecar': (partial) => edit(sidecarOf(partial), (text) => text.slice(0, -10)),
  'a sidecar of another download': (partial) =>
    edit(sidecarOf(partial), (text) => text.replace(/"key":"./, '"key":"x')),
  'a validator that is none': (partial) => edit(sidecarOf(partial), (text) => text.replace('"etag"', '"guess"')),
  'a huge sidecar': (partial) => edit(sidecarOf(partial), (text) => text + ' '.repeat(100_000)),
  'no sidecar': (partial) => rm(sidecarOf(partial)),
  'fewer bytes than were synced': (partial) => truncate(partial.path, 9),
  'more bytes than the whole': (partial) => truncate(partial.path, 1001),
  'no bytes': (partial) => rm(partial.path),
};
for (const [what, damage] of Object.entries(damages)) {
  test(`${what}: the download starts over`, async (t) => {
    const url = freshUrl();
    const before = await interrupted(url);
    await before.close();
    await damage(before);

    const partial = await store.openPartial(url);
    t.like(partial, { bytes: 0, validator: undefined, total: undefined });
    await partial.restart({ total: 4 });
    await partial.append([randomBytes(2)]);
    await partial.close();

    t.is((await store.openPartial(url)).bytes, 2);
    t.is((await readdir(join(partial.path, '..'))).length, 2);
  });
}

test('bytes appended beyond 32 MiB are synced in the meantime', async (t) => {
  const url = freshUrl();
  const partial = await store.openPartial(url);
  await partial.restart({});
  const mebibyte = Buffer.alloc(1024 * 1024, 'x');
  for (let count = 0; count < 70; count += 1) await partial.append([mebibyte]);

  const { synced } = JSON.parse(await readFile(sidecarOf(partial), 'utf8')) as { readonly synced: number };

  t.true([32, 64].includes(synced / mebibyte.length), `${synced}`); // the second sync may be over, or still under way
  await partial.discard();
  t.false(existsSync(partial.path));
});

test('a read-only store opens no download', async (t) => {
  await using reader = await openStore({ dir: store.dir, readOnly: true });
  await t.throwsAsync(reader.openPartial(freshUrl()), { code: 'STORE_READ_ONLY' });
});
