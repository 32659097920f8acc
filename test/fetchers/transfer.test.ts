import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';

import test from 'ava';

import { type Aci, buildAci } from '../helpers/archive.ts';
import { codesOf, openFetching } from '../helpers/fetching.ts';
import { startOrigin } from '../helpers/origin.ts';

const name = 'example.com/app';

/** A gzip archive with so many random bytes: two of one size have the same length, and a mixture has a wrong CRC. */
async function randomArchive(bytes: number): Promise<Aci> {
  const aci = await buildAci({ name, files: { data: randomBytes(bytes) } });
  return { ...aci, bytes: gzipSync(aci.tar, { level: 0 }) };
}

test('an image that is refused at its beginning is not downloaded to its end', async (t) => {
  const { fetch, leftovers } = await openFetching(t);
  const origin = await startOrigin(t);
  let sent = 0;
  const closed = Promise.withResolvers<void>();
  origin.routes['/bad.aci'] = {
    handler: (_, response) => {
      response.writeHead(200, { 'content-length': 2 ** 30, etag: '"1"' });
      response.on('close', () => closed.resolve());
      const step = randomBytes(256 * 1024);
      const more = (): void => {
        if (sent >= 2 ** 26) return; // whoever waited for the rest would wait in vain
        sent += step.length;
        response.write(step, () => setTimeout(more, 1));
      };
      more();
    },
  };
  t.deepEqual(codesOf(await fetch(`${origin.url}/bad.aci`)), ['ARCHIVE_UNREADABLE']);
  await closed.promise;
  t.true(sent < 2 ** 29, `${sent} bytes were sent`);
  t.deepEqual(await leftovers(), []);
});

test('an interrupted download is kept if it can be resumed, and the next run requests only the rest', async (t) => {
  const { fetch, listed, leftovers } = await openFetching(t);
  const origin = await startOrigin(t);
  const { bytes, imageId } = await randomArchive(3_000_000);
  const url = `${origin.url}/app.aci`;
  origin.routes['/app.aci'] = { body: bytes, etag: '"1"', cutAfter: 2_000_000 };
  t.deepEqual(codesOf(await fetch(url)), ['LENGTH_MISMATCH']);
  t.deepEqual(await listed(), []);
  t.not((await leftovers()).length, 0);
  origin.routes['/app.aci'] = { body: bytes, etag: '"1"' };
  const outcome = await fetch(url);
  t.like(outcome, { status: 'fetched', imageID: imageId });
  const from = Number(/^bytes=(\d+)-$/.exec(origin.requests[1]?.headers.range ?? '')?.[1]);
  t.true(from > 1_000_000);
  t.is(outcome.bytesDownloaded, bytes.length - from);
  t.deepEqual(await leftovers(), []);
});

test('one download is resumed after each cut', async (t) => {
  const { fetch, leftovers } = await openFetching(t, { retries: 1 });
  const origin = await startOrigin(t);
  const { bytes, imageId } = await randomArchive(4_000_000);
  origin.routes['/app.aci'] = { body: bytes, etag: '"1"', cutAfter: 1_500_000 };
  const retries: string[] = [];
  const outcome = await fetch(`${origin.url}/app.aci`, {
    onEvent: (event) => {
      if (event.type === 'retry') retries.push(event.code);
    },
  });
  t.like(outcome, { status: 'fetched', imageID: imageId, bytesDownloaded: bytes.length });
  t.deepEqual(retries, ['LENGTH_MISMATCH', 'LENGTH_MISMATCH']);
  t.deepEqual(await leftovers(), []);
});

for (const [what, isGood] of [
  ['good', true],
  ['bad', false],
] as const) {
  test(`when the file was replaced under the same validator, it comes once more from the start: ${what}`, async (t) => {
    const { fetch, listed, leftovers } = await openFetching(t);
    const origin = await startOrigin(t);
    const [before, after] = await Promise.all([randomArchive(3_000_000), randomArchive(3_000_000)]);
    const url = `${origin.url}/app.aci`;
    origin.routes['/app.aci'] = { body: before.bytes, etag: '"1"', cutAfter: 2_000_000 };
    await fetch(url);
    if (!isGood) after.bytes[after.bytes.length - 8] = (after.bytes[after.bytes.length - 8] ?? 0) ^ 1; // its CRC
    origin.routes['/app.aci'] = { body: after.bytes, etag: '"1"' };
    const warnings: string[] = [];
    const outcome = await fetch(url, {
      onEvent: (event) => {
        if (event.type === 'warning') warnings.push(event.message);
      },
    });
    t.deepEqual(codesOf(outcome), isGood ? [] : ['ARCHIVE_UNREADABLE']);
    t.deepEqual(await listed(), isGood ? [after.imageId] : []);
    t.deepEqual(
      origin.requests.map(({ headers }) => headers.range !== undefined),
      [false, true, false],
    );
    t.regex(warnings.join(), /downloaded again from the start/);
    t.deepEqual(await leftovers(), []);
  });
}

test('a silent server delays only its own image, by the stall timeout', async (t) => {
  const { fetchAll, leftovers } = await openFetching(t, { timeouts: { stall: 400, headers: 3_000 } });
  const origin = await startOrigin(t);
  const good = await origin.publish({ name });
  const headers = { 'content-length': '1000000' };
  origin.routes['/stalls.aci'] = { handler: (_, response) => void response.writeHead(200, headers).write('x') };
  origin.routes['/silent.aci'] = { handler: () => undefined };
  const asked = [`${origin.url}/stalls.aci`, `${origin.url}/silent.aci`, good.url];
  const [stalls, silent, present] = await fetchAll(asked);
  t.deepEqual([codesOf(stalls ?? {}), codesOf(silent ?? {})], [['STALLED'], ['TIMEOUT']]);
  t.like(present, { status: 'fetched' });
  t.deepEqual(await leftovers(), []);
});
