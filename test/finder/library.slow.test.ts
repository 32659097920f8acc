import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';

import { type ActionOptions, createFetcher, ImageError, openFetchPool, type Pool } from '../../src/internal.ts';
import { buildAci } from '../helpers/archive.ts';
import { openFetching } from '../helpers/fetching.ts';
import { exec } from '../helpers/keys.ts';
import { startOrigin } from '../helpers/origin.ts';

const name = 'example.com/app';

test('findImage returns the whole ID, or rejects with an ImageError that has code, details and cause', async (t) => {
  const origin = await startOrigin(t);
  const { finder, leftovers } = await openFetching(t, { discover: origin.discover });
  const { imageId } = await origin.publish({ name });
  await origin.publish({ name: 'example.com/top', dependencies: [{ imageName: 'example.com/missing' }] });
  const opened = finder();
  t.is(await opened.findImage(name), imageId);
  t.is(await opened.findImage(name, { type: 'name' }), imageId);
  const error = await t.throwsAsync(opened.findImage('example.com/top'), { instanceOf: ImageError });
  t.like(error, { code: 'DEPENDENCY_FAILED', details: { dependency: 'example.com/missing' } });
  t.true(error.cause instanceof ImageError);
  t.like(error.cause, { code: 'HTTP_STATUS', details: { status: 404 } });
  await t.throwsAsync(opened.findImage('ftp://example.com/app'), { code: 'REFERENCE_INVALID' });
  t.deepEqual(await leftovers(), []);
});

test('a fetcher refuses image IDs', async (t) => {
  const { store, directory } = await openFetching(t);
  const { bytes, imageId } = await buildAci({ name });
  await writeFile(join(directory, 'app.aci'), bytes);
  await using fetcher = createFetcher({ store, workers: 1 });
  t.is(await fetcher.fetchImage(join(directory, 'app.aci')), imageId);
  for (const id of [imageId, imageId.slice(0, 12)]) {
    await t.throwsAsync(fetcher.fetchImage(id), { code: 'REFERENCE_INVALID', message: /ID/ });
  }
  await t.throwsAsync(fetcher.fetchImage(imageId, { type: 'hash' }), { code: 'REFERENCE_INVALID' });
});

test('a given transport is used for all requests', async (t) => {
  const { fetch } = await openFetching(t);
  const { bytes, imageId } = await buildAci({ name });
  const asked: string[] = [];
  const transport: ActionOptions['transport'] = ({ url }) => {
    asked.push(url);
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(bytes);
        controller.close();
      },
    });
    return Promise.resolve({ status: 200, headers: { 'content-length': String(bytes.length) }, body });
  };
  const url = 'https://nowhere.example/app.aci';
  t.like(await fetch(url, { transport }), { status: 'fetched', imageID: imageId, source: url });
  t.deepEqual(asked, [url]);
});

test('two finders in one process fetch the same URL once', async (t) => {
  const { finder } = await openFetching(t);
  const origin = await startOrigin(t);
  const { url, path, imageId } = await origin.publish({ name }, { delayMs: 200 });
  const ids = await Promise.all([finder().findImage(url), finder().findImage(url)]);
  t.deepEqual(ids, [imageId, imageId]);
  t.is(origin.served(path), 1);
});

for (const [what, ending] of [
  ['closes everything', 'await finder.close(); await store.close();'],
  ['closes nothing', ''],
] as const) {
  test(`a program that uses the library and ${what} ends by itself`, async (t) => {
    const { directory } = await openFetching(t);
    const origin = await startOrigin(t);
    const { url, imageId } = await origin.publish({ name, size: 100_000 });
    const index = new URL('../../src/index.ts', import.meta.url).href;
    const script = `
      import { createFinder, openStore } from '${index}';
      const store = await openStore({ dir: '${join(directory, 'other')}' });
      const finder = createFinder({ store, insecure: { image: true } });
      console.log(await finder.findImage('${url}'));
      ${ending}
    `;
    const began = performance.now();
    const output = await exec(process.execPath, ['--input-type=module-typescript', '--eval', script]);
    t.is(output.toString().trim(), imageId);
    t.true(performance.now() - began < 60_000);
  });
}

test('a given pool is used, and stays open when the finder is closed', async (t) => {
  const { directory, finder } = await openFetching(t);
  const path = join(directory, 'app.aci');
  const { bytes, imageId } = await buildAci({ name: 'example.com/app' });
  await writeFile(path, bytes);
  await using pool = openFetchPool({ workers: 1 });
  const done: string[] = [];
  const telling: Pool = {
    ...pool,
    run(task, ...rest) {
      done.push(task);
      return pool.run(task, ...rest);
    },
  };
  const opened = finder({ pool: telling });
  t.is(await opened.findImage(path), imageId);
  await opened.close();
  t.true(done.includes('ingest'), done.join(' '));
  t.truthy(await pool.run('reHash', { path, algorithm: 'sha256' }));
});
