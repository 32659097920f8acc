// Verify what is in the store
// node verify-store.mjs STORE
import { resolve } from 'node:path';

import { openStore } from 'longshore';

const [dir = ''] = process.argv.slice(2);
await using store = await openStore({ dir: resolve(dir), readOnly: true });

for await (const { imageID, name, size } of store.images({ sort: 'size', order: 'desc' })) {
  console.log(imageID.slice(0, 20), name, size);
}
const { checked, bytes, damaged } = await store.verify({ signal: AbortSignal.timeout(3_600_000) });
for (const { id, problem, images } of damaged) console.log(`${id}: ${problem}; needed by ${images.join(', ')}`);
console.log(`${checked} read, ${bytes} bytes, ${damaged.length} damaged`);
process.exitCode = damaged.length > 0 ? 1 : 0;
