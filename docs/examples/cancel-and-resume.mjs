// Cancel a batch, and go on where it ended
// node cancel-and-resume.mjs STORE URL
import { resolve } from 'node:path';

import { createFinder, openStore } from 'longshore';

const [dir = '', url = ''] = process.argv.slice(2);
const stop = new AbortController();

/** @param {import('longshore').BatchEvent} event */
function onEvent(event) {
  if (event.type === 'download-started') console.log(`begins at byte ${event.resumedFrom}`);
  if (event.type === 'download-progress') stop.abort(new Error('that is enough for now'));
}

await using store = await openStore({ dir: resolve(dir) });
await using finder = createFinder({ store, insecure: { image: true }, onEvent }); // without signatures

const [cancelled] = (await finder.findImages([url], { signal: stop.signal })).outcomes;
if (cancelled?.status === 'cancelled') console.log(`${cancelled.error.code}:`, cancelled.error.cause);

const [outcome] = (await finder.findImages([url])).outcomes;
console.log(outcome?.status, outcome?.imageID ?? outcome?.error?.message);
process.exitCode = outcome?.status === 'fetched' ? 0 : 1;
