// Fetch images with all that they depend on, and show how far it is
// node fetch-tree.mjs STORE KEYS ORIGIN IMAGE...
import { resolve } from 'node:path';

import { createFinder, openKeystore, openStore } from 'longshore';

const [dir = '', keys = '', origin = '', ...images] = process.argv.slice(2);

let known = 0;
let finished = 0;
/** @param {import('longshore').BatchEvent} event */
function onEvent(event) {
  switch (event.type) {
    case 'node-added':
      known += 1;
      break;
    case 'download-progress':
      console.error(`  ${event.key}: ${event.bytes} of ${event.total ?? 'unknown'} bytes`);
      break;
    case 'node-finished':
      finished += 1;
      console.error(`${finished} of ${known}: ${event.outcome.reference}`);
  }
}

await using store = await openStore({ dir: resolve(dir) });
await using keystore = await openKeystore({ dirs: [resolve(keys)] });
const discover = [{ prefix: 'example.com', origin }]; // where these names are looked for
await using finder = createFinder({ store, keystore, discover, onEvent });

const { outcomes, totals } = await finder.findImages(images);
for (const outcome of outcomes) {
  if (outcome.error) console.log(outcome.reference, outcome.status, `${outcome.error.code}: ${outcome.error.message}`);
  else console.log(outcome.reference, outcome.status, outcome.imageID);
}
console.log(`${totals.nodes} images: ${totals.fetched} fetched, ${totals.present} present, ${totals.failed} failed`);
process.exitCode = totals.failed > 0 ? 1 : 0;
