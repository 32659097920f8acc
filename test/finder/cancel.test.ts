import { chmod, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';

import { openFetchPool } from '../../src/internal.ts';
import { buildAci } from '../helpers/archive.ts';
import { openFetching } from '../helpers/fetching.ts';
import { startOrigin } from '../helpers/origin.ts';

const name = 'example.com/app';

test('an aborted batch promptly has an outcome for every image, and its downloads can be resumed', async (t) => {
  const { finder, listed, leftovers, fetch } = await openFetching(t);
  const origin = await startOrigin(t);
  const good = await origin.publish({ name: 'example.com/good' });
  const { bytes, imageId } = await buildAci({ name, size: 6_000_000 });
  origin.routes['/slow.aci'] = { body: bytes, etag: '"1"', rate: 4_000_000 };
  const silent = await origin.publish({ name: 'example.com/silent' }, { delayMs: 60_000 });
  const apps = [good.url, `${origin.url}/slow.aci`, silent.url].map((image) => ({ image }));
  for (let at = 0; at < 50; at++) apps.push({ image: `${silent.url}?${at}` });

  const stop = new AbortController();
  const opened = finder({
    onEvent: (event) => {
      if (event.type === 'download-progress' && event.bytes > 2_000_000) stop.abort(new Error('enough'));
    },
  });
  const { outcomes, totals } = await opened.findImages(apps, { signal: stop.signal });
  t.is(outcomes.length, apps.length);
  t.deepEqual(
    outcomes.map(({ status }) => status),
    apps.map((_, index) => (index === 0 ? 'fetched' : 'cancelled')),
  );
  t.like(totals, { images: 53, fetched: 1, cancelled: 52, failed: 0 });
  t.deepEqual(await listed(), [good.imageId]);
  t.true((await leftovers()).every((path) => path.startsWith('downloads/')));

  origin.routes['/slow.aci'] = { body: bytes, etag: '"1"' };
  const resumed = await fetch(`${origin.url}/slow.aci`);
  t.like(resumed, { status: 'fetched', imageID: imageId });
  t.true((resumed.bytesDownloaded ?? Infinity) < bytes.length - 1_000_000);
  t.deepEqual(await leftovers(), []);
});

test('findImage rejects with CANCELLED, caused by the reason of its signal, also when that was aborted before', async (t) => {
  const { finder } = await openFetching(t);
  const origin = await startOrigin(t);
  const { url } = await origin.publish({ name }, { delayMs: 60_000 });
  const opened = finder();
  const reason = new Error('no longer wanted');
  const stop = new AbortController();
  const finding = opened.findImage(url, { signal: stop.signal });
  setTimeout(() => stop.abort(reason), 50);
  t.is((await t.throwsAsync(finding, { code: 'CANCELLED' })).cause, reason);
  const again = opened.findImage(url, { signal: stop.signal });
  t.is((await t.throwsAsync(again, { code: 'CANCELLED' })).cause, reason);
  t.true(origin.requests.length <= 1);
});

test('an abort also ends the reading of a local archive', async (t) => {
  const { directory, finder, leftovers } = await openFetching(t);
  const path = join(directory, 'large.aci');
  const size = 2 ** 30;
  const { tar } = await buildAci({ name, manifestPosition: 'first', files: { data: '' } });
  const header = sizedHeader(tar.subarray(tar.length - 1024 - 512, tar.length - 1024), size);
  await writeFile(path, Buffer.concat([tar.subarray(0, tar.length - 1024 - 512), header]));
  await truncate(path, tar.length + size);
  const signal = AbortSignal.timeout(100);
  t.is((await t.throwsAsync(finder().findImage(path, { signal }), { code: 'CANCELLED' })).cause, signal.reason);
  t.deepEqual(await leftovers(), []);
});

/** The header of a tar entry with another size. */
function sizedHeader(header: Buffer, size: number): Buffer {
  const sized = Buffer.from(header);
  sized.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
  sized.fill(' ', 148, 156);
  const sum = sized.reduce((total, byte) => total + byte, 0);
  sized.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return sized;
}

test('an abort does not wait until a changed blob is hashed', async (t) => {
  const { finder, fetch, store } = await openFetching(t);
  const origin = await startOrigin(t);
  const { url, imageId } = await origin.publish({ name }, { headers: { 'cache-control': 'max-age=86400' } });
  await fetch(url);
  await chmod(store.blobPath(imageId), 0o644);
  await truncate(store.blobPath(imageId), 2 ** 40);
  await using pool = openFetchPool({ workers: 1 }); // its thread goes on hashing until it is closed
  const opened = finder({ pool });
  for (const reference of [url, name, imageId]) {
    const signal = AbortSignal.timeout(100);
    const finding = opened.findImage(reference, { signal });
    t.is((await t.throwsAsync(finding, { code: 'CANCELLED' }, reference)).cause, signal.reason);
  }
});

test('closing a finder ends its batches first, and later ones do not begin', async (t) => {
  const { finder, leftovers } = await openFetching(t);
  const origin = await startOrigin(t);
  const { url } = await origin.publish({ name }, { delayMs: 60_000 });
  const opened = finder();
  const finding = t.throwsAsync(opened.findImage(url), { code: 'CANCELLED', message: /closed/ });
  const all = opened.findImages([{ image: url }]);
  setTimeout(() => void opened.close(), 50);
  t.like((await finding).cause, { code: 'CLOSED', details: { what: 'finder' } });
  t.like((await all).outcomes[0], { status: 'cancelled', error: { code: 'CANCELLED' } });
  await opened.close();
  await t.throwsAsync(opened.findImage(url), { code: 'CLOSED' });
  await t.throwsAsync(opened.findImages([{ image: url }]), { code: 'CLOSED' });
  await t.throwsAsync(opened.planImages([{ image: url }]), { code: 'CLOSED' });
  t.deepEqual(await leftovers(), []);
});
