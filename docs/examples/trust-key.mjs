// Trust a key for a prefix of names, and fetch an image that it has signed
// node trust-key.mjs STORE KEYS KEYFILE PREFIX URL
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';

import { createFetcher, isImageError, openKeystore, openStore } from 'longshore';

const [dir = '', keys = '', keyFile = '', prefix = '', url = ''] = process.argv.slice(2);
await using keystore = await openKeystore({ dirs: [resolve(keys)] });
await using store = await openStore({ dir: resolve(dir) });
await using fetcher = createFetcher({ store, keystore });

try {
  const pem = await readFile(keyFile);
  for (const { fingerprint, identities } of await keystore.trust(pem, { prefix })) {
    console.log(`${fingerprint} (${identities.join(', ')}) is trusted for ${prefix}`);
  }
  const imageID = await fetcher.fetchImage(url);
  const { verified } = await store.image(imageID);
  console.log(`${imageID} is signed by`, verified);
} catch (error) {
  if (!isImageError(error)) throw error;
  const fingerprints = error.code === 'KEY_UNKNOWN' ? ` (signed by ${error.details.signers.join(', ')})` : '';
  console.log(`${error.code}: ${error.message}${fingerprints}`);
  process.exitCode = 1;
}
