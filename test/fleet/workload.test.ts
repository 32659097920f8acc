import { setTimeout as delay } from 'node:timers/promises';

import test from 'ava';

import { createWorkload } from '../../src/fleet/workload.ts';
import { ImageError } from '../../src/internal.ts';

test('a worker that rests while its last batch ends takes images of the next one', async (t) => {
  const workload = createWorkload({ onWarning: () => undefined, onUnfit: () => t.fail(), restMs: 20 });
  const limits: string[] = [];
  const limit = (to: string) => Promise.resolve(void limits.push(to));
  const queues = { limit, pauseHost: () => Promise.resolve() };
  {
    using _ = workload.follow(queues);
    workload.rest(new ImageError('STORE_FULL', 'no room', { path: '/' }));
  }
  await delay(100);
  using _ = workload.follow(queues);
  workload.succeeded();
  t.deepEqual(limits, ['none', 'one', 'all']);
});
