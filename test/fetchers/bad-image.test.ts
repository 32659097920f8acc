import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import test from 'ava';

import { buildAci, buildManifest, buildTar } from '../helpers/archive.ts';
import { codesOf, openFetching } from '../helpers/fetching.ts';
import { startOrigin } from '../helpers/origin.ts';
import type { Route } from '../helpers/serve-route.ts';

const name = 'example.com/app';

test('a bad image fails alone, with its code, and leaves no files', async (t) => {
  const { fetchAll, listed, leftovers, store } = await openFetching(t);
  const origin = await startOrigin(t);
  const good = await origin.publish({ name: 'example.com/good', compress: 'gzip' });
  const { bytes } = await buildAci({ name, compress: 'gzip', size: 3_000_000 });
  const flipped = Buffer.from(bytes);
  flipped[2_000] = (flipped[2_000] ?? 0) ^ 1;
  const large = await buildAci({ name, size: 9_000_000 });
  const bomb = await buildAci({ name, files: { zeros: Buffer.alloc(40_000_000) }, compress: 'gzip' });
  const manifest = { name: 'manifest', content: JSON.stringify(buildManifest({ name })) };
  const twice = await buildTar([manifest, { name: 'rootfs/', type: 'directory' }, manifest]);
  const headers = { 'content-length': String(2 ** 40) };
  const cases: Record<string, readonly [Route, ...string[]]> = {
    missing: [{ status: 404 }, 'HTTP_STATUS'],
    secret: [{ status: 401 }, 'HTTP_STATUS'],
    broken: [{ status: 500 }, 'HTTP_STATUS'],
    odd: [{ status: 204 }, 'HTTP_STATUS'],
    known: [{ status: 304 }, 'HTTP_STATUS'],
    page: [{ body: '<!doctype html><html>Not here</html>' }, 'ARCHIVE_UNREADABLE'],
    empty: [{ body: '' }, 'ARCHIVE_UNREADABLE'],
    cut: [{ body: bytes.subarray(0, -100) }, 'ARCHIVE_UNREADABLE'],
    flipped: [{ body: flipped }, 'ARCHIVE_UNREADABLE'],
    trailing: [{ body: Buffer.concat([bytes, Buffer.from('more')]) }, 'ARCHIVE_UNREADABLE'],
    twice: [{ body: twice }, 'ARCHIVE_INVALID'],
    packed: [{ body: gzipSync(bytes) }, 'ARCHIVE_UNREADABLE'],
    bomb: [{ body: bomb.bytes }, 'LIMIT_EXCEEDED'],
    huge: [{ handler: (_, response) => void response.writeHead(200, headers).write('x') }, 'LIMIT_EXCEEDED'],
    endless: [{ body: large.bytes, chunked: true }, 'LIMIT_EXCEEDED'],
    short: [{ body: bytes, cutAfter: 1_500_000 }, 'LENGTH_MISMATCH'],
    shortChunked: [{ body: bytes, cutAfter: 1_500_000, chunked: true }, 'NETWORK'],
    refused: [{ status: 302, headers: { location: 'file:///etc/passwd' } }, 'REDIRECT_REFUSED'],
    circle: [{ status: 302, headers: { location: '/circle.aci' } }, 'REDIRECT_REFUSED'],
  };
  for (const [what, [route]] of Object.entries(cases)) origin.routes[`/${what}.aci`] = route;
  const bad = Object.keys(cases).map((what) => `${origin.url}/${what}.aci`);
  const limits = { archive: 8_000_000, unpacked: 20_000_000 };
  const outcomes = await fetchAll([...bad, good.url], { limits, workers: 2 });
  const found = Object.keys(cases).map((what, index) => [what, codesOf(outcomes[index] ?? {})[0]]);
  t.deepEqual(
    found,
    Object.entries(cases).map(([what, [, code]]) => [what, code]),
  );
  t.like(outcomes.at(-1), { status: 'fetched', imageID: good.imageId });
  t.deepEqual(await listed(), [good.imageId]);
  t.deepEqual(await leftovers(), []);
  for (const url of bad) {
    const claim = await store.tryClaim(url);
    t.truthy(claim, `nobody holds ${url}`);
    await claim?.release();
  }
});

test('an image with another name, label, pin or size than requested is refused', async (t) => {
  const origin = await startOrigin(t);
  const { fetchAll, listed, leftovers } = await openFetching(t, { discover: origin.discover });
  const other = await buildAci({ name: 'example.com/other' });
  const older = await buildAci({ name, version: '1' });
  const dependency = await origin.publish({ name: 'example.com/base' });
  origin.routes['/example.com/app-1.aci'] = { body: other.bytes };
  origin.routes['/example.com/app-2.aci'] = { body: older.bytes };
  const pins = {
    right: { imageID: dependency.imageId, size: dependency.tar.length },
    pinned: { imageID: other.imageId },
    sized: { size: dependency.tar.length + 1 },
  };
  for (const [what, pin] of Object.entries(pins)) {
    await origin.publish({ name: `example.com/${what}`, dependencies: [{ imageName: 'example.com/base', ...pin }] });
  }
  const asked = [`${name}:1`, `${name}:2`, 'example.com/pinned', 'example.com/sized', 'example.com/right'];
  const outcomes = await fetchAll(asked);
  t.deepEqual(outcomes.map(codesOf), [
    ['NAME_MISMATCH'],
    ['LABEL_MISMATCH'],
    ['DEPENDENCY_FAILED', 'IMAGE_ID_MISMATCH'],
    ['DEPENDENCY_FAILED', 'SIZE_MISMATCH'],
    [],
  ]);
  t.like(outcomes[4], { status: 'fetched', dependencies: [dependency.imageId] });
  t.is((await listed()).length, 4, 'what is good in itself stays: three roots and the one dependency');
  t.deepEqual(await leftovers(), []);
});

test('files: missing, a directory, unreadable and not an image', async (t) => {
  const { directory, fetchAll, leftovers } = await openFetching(t);
  const at = (file: string) => join(directory, file);
  await mkdir(at('directory.aci'));
  await writeFile(at('empty.aci'), '');
  await writeFile(at('text.aci'), 'no image');
  const outcomes = await fetchAll(
    ['missing.aci', 'directory.aci', 'empty.aci', 'text.aci', 'text.aci/app.aci'].map(at),
  );
  t.deepEqual(
    outcomes.map((outcome) => codesOf(outcome)[0]),
    ['FILE_NOT_FOUND', 'FILE_UNREADABLE', 'ARCHIVE_UNREADABLE', 'ARCHIVE_UNREADABLE', 'FILE_NOT_FOUND'],
  );
  t.deepEqual(await leftovers(), []);
});

test('a store that cannot store an image reports it, keeps nothing of it, and works afterwards', async (t) => {
  const { directory, fetchAll, listed, leftovers, store } = await openFetching(t);
  const origin = await startOrigin(t);
  const { url, imageId, bytes } = await origin.publish({ name });
  await writeFile(join(directory, 'app.aci'), bytes);
  const blobs = join(store.dir, 'blobs', 'sha512');
  await rm(blobs, { recursive: true });
  await writeFile(blobs, 'in the way');
  const outcomes = await fetchAll([url, join(directory, 'app.aci')]);
  for (const outcome of outcomes) t.regex(codesOf(outcome)[0] ?? '', /^STORE_/);
  t.deepEqual([await listed(), await leftovers()], [[], []]);
  await rm(blobs);
  await mkdir(blobs);
  t.like((await fetchAll([url]))[0], { status: 'fetched', imageID: imageId });
});
