import test from 'ava';

import type { BatchEvent } from '../../src/internal.ts';
import { buildAci } from '../helpers/archive.ts';
import { startBusyHost } from '../helpers/busy-host.ts';
import { openFetching } from '../helpers/fetching.ts';
import { startOrigin } from '../helpers/origin.ts';

// of so many images that what is refused while the number is found out is a small part of them
for (const { accepts, images, options } of [
  { accepts: 1, images: 200, options: {} },
  { accepts: 3, images: 200, options: {} },
  { accepts: 20, images: 800, options: { jobs: 32, jobsPerHost: 24 } },
]) {
  test(`of a host that answers ${accepts} at a time, all images come, and few requests are refused`, async (t) => {
    const { bytes } = await buildAci({ name: 'example.com/app' });
    const host = await startBusyHost(t, { image: bytes, accepts, answerMs: 20 });
    const { fetchAll } = await openFetching(t, { insecure: { image: true }, ...options });
    const outcomes = await fetchAll(host.urls(images));
    t.true(outcomes.every(({ status }) => status === 'fetched'));
    const refused = host.asked.filter(({ isRefused }) => isRefused).length;
    t.true(refused <= 24, `${refused} of ${host.asked.length}`);
    const later = host.asked.slice(images / 2);
    t.true(later.filter(({ isRefused }) => isRefused).length <= 0.03 * later.length, 'and fewer later');
    t.log(`${refused} of ${host.asked.length} refused`);
  });
}

test('an image that is always refused fails, though others of its host come', async (t) => {
  const origin = await startOrigin(t);
  const { fetchAll } = await openFetching(t, { retries: 1 });
  const bad = await origin.publish({ name: 'example.com/bad' }, { status: 503 });
  const good = await Promise.all(
    Array.from({ length: 40 }, (_, at) => origin.publish({ name: `example.com/good-${at}` }, { delayMs: 20 })),
  );
  const outcomes = await fetchAll([bad, ...good].map(({ url }) => url));
  t.is(outcomes.filter(({ status }) => status === 'fetched').length, 40);
  t.like(outcomes[0], { status: 'failed', error: { code: 'HTTP_STATUS' } });
  t.true(origin.served(bad.path) <= 8, `${origin.served(bad.path)} requests`);
});

for (const date of [false, true]) {
  test(`Retry-After with ${date ? 'a date' : 'seconds'} is obeyed by the whole host, while another goes on`, async (t) => {
    const [busy, other] = [await startOrigin(t), await startOrigin(t)];
    const { finder } = await openFetching(t);
    let refusedAtMs: number | undefined;
    const askedMs: number[] = [];
    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, at) => busy.publish({ name: `example.com/busy-${at}`, size: 200_000 })),
    );
    for (const { path, bytes } of answers.slice(1)) {
      busy.routes[path] = {
        handler(_, response) {
          askedMs.push(performance.now());
          if (refusedAtMs !== undefined) {
            response.end(bytes);
            return;
          }
          refusedAtMs = performance.now();
          const until = date ? new Date(Math.ceil(Date.now() / 1000 + 2) * 1000).toUTCString() : '2';
          response.writeHead(429, { 'retry-after': until }).end();
        },
      };
    }
    const others = await Promise.all(
      Array.from({ length: 5 }, (_, at) => other.publish({ name: `example.com/other-${at}` })),
    );
    const finished: string[] = [];
    const onEvent = (event: BatchEvent): void => {
      if (event.type === 'node-finished') finished.push(event.outcome.reference);
    };
    const urls = [...answers, ...others].map(({ url }) => url);
    const { totals } = await finder({ onEvent }).findImages(urls.map((image) => ({ image })));
    t.is(totals.fetched, 17);
    const early = askedMs.filter((atMs) => atMs > (refusedAtMs ?? 0) + 1000 && atMs < (refusedAtMs ?? 0) + 1990);
    t.deepEqual(early, [], 'nothing is asked for but what was under way already');
    t.is(finished.slice(0, 6).filter((url) => others.some((one) => one.url === url)).length, 5);
  });
}
