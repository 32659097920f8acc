/** Fetches a list as a program would. Usage: fetch-child.ts DIR IMAGE...; prints the outcomes as one JSON line. */
import { createApps } from '../../src/index.ts';
import { createFinder, openStore } from '../../src/internal.ts';

const [dir = '', ...images] = process.argv.slice(2);
await using store = await openStore({ dir });
await using finder = createFinder({ store, workers: 1, retries: 0, jobs: 4 });
const { outcomes } = await finder.findImages(createApps(images));
process.stdout.write(`${JSON.stringify(outcomes)}\n`);
