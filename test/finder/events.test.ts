import test from 'ava';

import type { BatchEvent, Outcome } from '../../src/internal.ts';
import { openFetching } from '../helpers/fetching.ts';
import { held } from '../helpers/held.ts';
import { startOrigin } from '../helpers/origin.ts';
import { openRegistryFetching } from '../helpers/registry-fetching.ts';

const name = 'example.com/app';

test('events carry the number of their batch, and those of each are whole', async (t) => {
  const { finder } = await openFetching(t);
  const origin = await startOrigin(t);
  const [one, other] = [await origin.publish({ name }), await origin.publish({ name: 'example.com/other' })];
  const events: BatchEvent[] = [];
  const opened = finder({ onEvent: (event) => events.push(event) });
  await Promise.all([opened.findImages([{ image: one.url }]), opened.findImages([{ image: other.url }])]);
  await opened.findImages([]);
  t.deepEqual([...new Set(events.map(({ batch }) => batch))].toSorted(), [1, 2, 3]);
  for (const [batch, { path }] of [
    [1, one],
    [2, other],
  ] as const) {
    const own = events.filter((event) => event.batch === batch);
    t.is(own[0]?.type, 'batch-started');
    t.is(own.at(-1)?.type, 'batch-finished');
    t.true(own.every((event) => !('key' in event) || event.key?.includes(path)));
  }
});

test('references that do not parse have events, and their place in order', async (t) => {
  const { finder } = await openFetching(t);
  const origin = await startOrigin(t);
  const { url } = await origin.publish({ name });
  const events: BatchEvent[] = [];
  const told: Outcome[] = [];
  const images = ['ftp://user:secret@a', url, '', 'ftp://user:secret@a'];
  const opened = finder({ onEvent: (event) => events.push(event) });
  const { outcomes, totals } = await opened.findImages(
    images.map((image) => ({ image })),
    { onOutcome: (outcome) => told.push(outcome) },
  );
  t.deepEqual(
    outcomes.map(({ index, reference, status }) => [index, reference, status]),
    images.map((image, index) => [index, image, index === 1 ? 'fetched' : 'failed']),
  );
  t.is(told.length, 4);
  t.like(events[0], { type: 'batch-started', requests: 4 });
  const added = events.filter((event) => event.type === 'node-added');
  t.deepEqual(
    added.map(({ reference }) => reference),
    ['ftp://a/', url, '', 'ftp://a/'],
  );
  t.is(new Set(added.map(({ key }) => key)).size, 4);
  const finished = events.filter((event) => event.type === 'node-finished');
  for (const [at, { key }] of added.entries()) {
    const [event, ...more] = finished.filter((one) => one.key === key);
    t.like(event?.outcome, { index: at, status: at === 1 ? 'fetched' : 'failed' });
    t.is(more.length, 0);
  }
  t.like(totals, { images: 4, nodes: 4, fetched: 1, failed: 3 });
  const last = events.at(-1);
  t.is(last?.type === 'batch-finished' ? last.totals : undefined, totals, 'the very totals');
});

test('the traffic with each host is told before the end, and adds up to the totals', async (t) => {
  const { finder } = await openFetching(t);
  const [one, other] = [await startOrigin(t), await startOrigin(t)];
  const images = [await one.publish({ name }), await other.publish({ name: 'example.com/other' })].map(({ url }) => ({
    image: url,
  }));
  const events: BatchEvent[] = [];
  const opened = finder({ onEvent: (event) => events.push(event) });
  const { totals } = await opened.findImages(images);
  t.deepEqual(
    events.slice(-2).map(({ type }) => type),
    ['traffic', 'batch-finished'],
  );
  const [{ hosts } = { hosts: [] }] = events.filter((event) => event.type === 'traffic');
  t.is(hosts.length, 2);
  const sum = (of: 'requests' | 'retries') => hosts.reduce((all, counts) => all + counts[of], 0);
  t.deepEqual([sum('requests'), sum('retries')], [totals.requests, totals.retries]);
});

test('with failFast a reference that does not parse stops the batch as any other failure', async (t) => {
  const { finder } = await openFetching(t, { failFast: true });
  const origin = await startOrigin(t);
  const { url } = await origin.publish({ name });
  const { outcomes } = await finder().findImages([{ image: url }, { image: 'ftp://a' }]);
  t.deepEqual(
    outcomes.map(({ status }) => status),
    ['cancelled', 'failed'],
  );
});

test('totals of two batches at once do not mix', async (t) => {
  const { finder } = await openFetching(t, { retries: 1 });
  const origin = await startOrigin(t);
  const slow = await origin.publish({ name, size: 2_000_000 });
  const body = held(slow.bytes);
  origin.routes[slow.path] = body;
  const flaky = await origin.publish({ name: 'example.com/flaky' });
  origin.routes[flaky.path] = { status: 500 };
  const opened = finder();
  const first = opened.findImages([{ image: slow.url }]);
  await body.asked;
  const second = await opened.findImages([{ image: flaky.url }]);
  body.release();
  t.like(second.totals, { requests: 2, retries: 1, failed: 1, bytesDownloaded: 0 });
  t.like((await first).totals, { requests: 1, retries: 0, fetched: 1, bytesDownloaded: slow.bytes.length });
});

test('requests for tokens and to find a registry count for the batch that they begin for', async (t) => {
  const { finder, registry, reference } = await openRegistryFetching(t, { keep: 'oci' });
  registry.putImage('app', '1');
  registry.putImage('app', '2', { layers: ['another layer'] });
  const origin = await startOrigin(t);
  const slow = await origin.publish({ name, size: 2_000_000 });
  const body = held(slow.bytes);
  origin.routes[slow.path] = body;
  const opened = finder();
  const other = opened.findImages([{ image: slow.url }]);
  await body.asked;
  const { totals } = await opened.findImages([{ image: reference('app:1') }]);
  t.is(totals.requests, registry.requests.length + 1, 'https was tried first');
  const before = registry.requests.length;
  const again = await opened.findImages([{ image: reference('app:2') }]);
  t.is(again.totals.requests, registry.requests.length - before);
  body.release();
  t.is((await other).totals.requests, 1);
});

test('the progress of a download has its total whenever that is known', async (t) => {
  const { finder } = await openFetching(t);
  const origin = await startOrigin(t);
  const known = await origin.publish({ name, size: 2_000_000 });
  const unknown = await origin.publish({ name: 'example.com/unknown', size: 2_000_000 }, { chunked: true });
  const totals = new Set<number | undefined>();
  const onEvent = (event: BatchEvent): void => {
    if (event.type === 'download-progress') totals.add(event.total);
  };
  await finder({ onEvent }).findImage(known.url);
  t.deepEqual([...totals], [known.bytes.length]);
  totals.clear();
  await finder({ onEvent }).findImage(unknown.url);
  t.deepEqual([...totals], [undefined]);
});

test('the first event has the numbers of transfers, also those that the fetch chooses itself', async (t) => {
  const { finder } = await openFetching(t);
  const first = async (options: object) => {
    const events: BatchEvent[] = [];
    await finder({ ...options, onEvent: (event) => events.push(event) }).findImages([]);
    return events[0];
  };
  t.like(await first({ jobs: 3, jobsPerHost: 2 }), { type: 'batch-started', jobs: 3, jobsPerHost: 2 });
  t.like(await first({ jobs: 3, jobsPerHost: 'auto' }), { jobs: 3, jobsPerHost: 16 });
  const chosen = await first({});
  t.true(chosen?.type === 'batch-started' && chosen.jobs >= 1 && chosen.jobs <= 64 && chosen.jobsPerHost === 16);
});
