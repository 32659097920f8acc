import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { buffer } from 'node:stream/consumers';

import type { Digest } from '../image/digest.ts';
import { defaultLimits } from '../image/limits.ts';
import { errnoOf } from '../system/errno.ts';
import type { Store } from '../store/store.ts';
import { corrupt } from './check-blob.ts';

/** Reads a manifest or an index of a registry, which is small. @throws STORE_CORRUPT unless it is what its digest says. */
export async function readDocument(store: Store, digest: Digest): Promise<Buffer> {
  const end = defaultLimits.registryManifest; // one byte more than a document may have
  const bytes = await buffer(createReadStream(store.digestPath(digest), { end })).catch((error: unknown) => {
    throw corrupt(store, { id: digest }, errnoOf(error) === 'ENOENT' ? 'missing' : 'unreadable');
  });
  const found = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  if (found !== digest) throw corrupt(store, { id: digest }, 'wrong hash');
  return bytes;
}
