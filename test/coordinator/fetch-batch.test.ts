import test from 'ava';

import type { BatchEvent } from '../../src/internal.ts';
import { openFetching } from '../helpers/fetching.ts';
import { held } from '../helpers/held.ts';
import { startOrigin } from '../helpers/origin.ts';

type PlaceTaken = Extract<BatchEvent, { type: 'place-taken' }>;

test('with one slot, the event of the second image has the time that it waited for the first', async (t) => {
  const origin = await startOrigin(t);
  const { finder, directory } = await openFetching(t, { jobs: 1 });
  const [first, second] = [
    await origin.publish({ name: 'example.com/a' }),
    await origin.publish({ name: 'example.com/b' }),
  ];
  const slow = held(first.bytes);
  origin.routes[first.path] = slow;
  const events: BatchEvent[] = [];
  const finding = finder({ onEvent: (event) => events.push(event) }).findImages([
    { image: first.url },
    { image: second.url },
    { image: `${directory}/missing.aci` },
  ]);
  await slow.asked;
  await new Promise((resolve) => setTimeout(resolve, 60));
  slow.release();
  await finding;

  const taken = events.filter((event): event is PlaceTaken => event.type === 'place-taken');
  const host = new URL(origin.url).host;
  t.deepEqual(
    taken.map(({ key, host: of }) => [key.includes(first.path), of]),
    [
      [true, host],
      [false, host],
    ],
  );
  const [firstMs = NaN, secondMs = NaN] = taken.map(({ waitedMs }) => waitedMs);
  t.true(firstMs < secondMs && secondMs >= 50, `${firstMs} ms, ${secondMs} ms`);
  const ofSecond = events.filter((event) => 'key' in event && event.key === taken[1]?.key).map(({ type }) => type);
  t.true(ofSecond.indexOf('place-taken') < ofSecond.indexOf('download-started'));
});
