// Run two batches at once, with the same store and the same threads
// node two-batches.mjs STORE ORIGIN IMAGE,IMAGE... IMAGE,IMAGE...
import { resolve } from 'node:path';

import { createFinder, openPool, openStore } from 'longshore';

const [dir = '', origin = '', ...lists] = process.argv.slice(2);
await using store = await openStore({ dir: resolve(dir) });
await using pool = openPool({ workers: 2 });

/** @param {string} list */
async function fetchList(list) {
  const discover = [{ prefix: 'example.com', origin }];
  await using finder = createFinder({ store, pool, discover, insecure: { image: true } });
  const { totals } = await finder.findImages(list.split(','));
  console.log(`${list}: ${totals.fetched} fetched, ${totals.present} present, ${totals.failed} failed`);
  return totals.failed;
}

const failed = await Promise.all(lists.map(fetchList));
process.exitCode = failed.some((count) => count > 0) ? 1 : 0;
