import test from 'ava';

import { setNewest } from '../../src/system/bounded-map.ts';

test('beyond its bound a map forgets what was set longest ago', (t) => {
  const map = new Map<string, number>();
  for (const [key, value] of Object.entries({ a: 1, b: 2, c: 3 })) setNewest(map, key, value, 3);
  setNewest(map, 'a', 1, 3); // used again
  setNewest(map, 'd', 4, 3);
  t.deepEqual([...map.keys()], ['c', 'a', 'd']);
});
