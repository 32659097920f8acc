import test from 'ava';

import { addIngests } from '../../src/bench/ingest-sums.ts';

test('the steps of all ingests add up, and what is no step is passed over', (t) => {
  const ingests = addIngests();
  ingests.add({ type: 'node-started', timeMs: 0, key: 'a' });
  ingests.add({ type: 'ingested', timeMs: 1, key: 'a', steps: { wait: 20, read: 500, hash: 250, other: 9 } });
  ingests.add({
    type: 'ingested',
    timeMs: 2,
    key: 'b',
    steps: { read: 1500, inflate: 1000, check: 1, write: 2, sync: 3 },
  });
  t.deepEqual(ingests.sums(), { wait: 0.02, read: 2, inflate: 1, hash: 0.25, check: 0.001, write: 0.002, sync: 0.003 });
});
