import { createReadStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';

import test from 'ava';

import { createFinder, hasCode, type ImportCall } from '../../src/index.ts';
import { layoutOfImages, makeImage, tarOf } from '../helpers/carried.ts';
import { openPublic } from '../helpers/public-store.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

const one = await makeImage('one');
const tar = await tarOf(layoutOfImages({ 'example.com/one:1': one, 'example.com/two:1': one }));

test('importImages takes a file or a stream, and says what became of each image', async (t) => {
  const { store } = await openPublic(t);
  const path = join(await temporaryDirectory(t), 'images.tar');
  await writeFile(path, tar);
  const seen: string[] = [];
  const onEvent = ({ type }: { readonly type: string }): void => void seen.push(type);
  await using finder = createFinder({ store, workers: 1, insecure: { image: true }, keep: 'oci', onEvent });
  const streams = [path, createReadStream(path), Readable.from([tar])];
  for (const [index, from] of streams.entries()) {
    const { outcomes, totals } = await finder.importImages(from, {
      images: ['example.com/one:1'],
      onOutcome: ({ status }) => void seen.push(status),
    });
    t.deepEqual(
      outcomes.map(({ imageID }) => imageID),
      [one.manifest.digest],
    );
    t.like(totals, { images: 1, fetched: index === 0 ? 1 : 0, failed: 0 });
  }
  t.true(seen.includes('fetched') && seen.includes('batch-finished'));
});

test('what importImages is given is checked; it can be stopped, and does nothing once it is closed', async (t) => {
  const { store } = await openPublic(t);
  const finder = createFinder({ store, workers: 1, insecure: { image: true }, keep: 'oci' });
  const wrong: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['from', () => finder.importImages('images.tar')],
    ['from', () => finder.importImages(1 as unknown as string)],
    ['from', () => finder.importImages(Readable.from(['a']).setEncoding('utf8'))],
    ['images', () => finder.importImages('/images.tar', { images: 'a' } as unknown as ImportCall)],
    ['as', () => finder.importImages('/images.tar', { as: '../x' })],
    ['names', () => finder.importImages('/images.tar', { names: [] } as ImportCall)],
  ];
  for (const [option, call] of wrong) {
    const error = await t.throwsAsync(call, { message: new RegExp(option) });
    t.true(hasCode(error, 'USAGE'), option);
  }
  await t.throwsAsync(finder.importImages('/nonexistent/images.tar'), { code: 'FILE_NOT_FOUND' } as object);
  const stop = new AbortController();
  const endless = new Readable({ read: () => undefined });
  endless.push(tar.subarray(0, 1000));
  const stopped = finder.importImages(endless, { signal: stop.signal });
  stop.abort();
  await t.throwsAsync(stopped, { code: 'CANCELLED' } as object);
  t.true(endless.destroyed);
  await finder.close();
  await t.throwsAsync(finder.importImages(Readable.from([tar])), { code: 'CLOSED' } as object);
});

test('a stream that cannot be read, or gives no bytes, is a failure with a code', async (t) => {
  const { store } = await openPublic(t);
  await using finder = createFinder({ store, workers: 1, insecure: { image: true }, keep: 'oci' });
  const reason = new Error('the line is cut');
  const broken = async function* () {
    yield tar.subarray(0, 1000);
    await Promise.reject(reason);
  };
  const cut = await t.throwsAsync(finder.importImages(Readable.from(broken())));
  t.true(hasCode(cut, 'FILE_UNREADABLE') && cut.cause === reason, String(cut));
  const streams: readonly (readonly [make: () => Readable, code: string])[] = [
    [() => createReadStream('/nonexistent/images.tar'), 'FILE_NOT_FOUND'],
    [() => createReadStream('/'), 'FILE_UNREADABLE'],
    [() => Readable.from(['text', 'text']), 'FILE_UNREADABLE'],
    [() => Readable.from([tar]).destroy(), 'FILE_UNREADABLE'],
    [() => Readable.from([tar]).destroy(reason), 'FILE_UNREADABLE'],
  ];
  for (const [make, code] of streams) await t.throwsAsync(finder.importImages(make()), { code } as object);
});
