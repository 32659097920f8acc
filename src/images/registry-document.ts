import { createHash } from 'node:crypto';

import type { Digest } from '../image/digest.ts';
import { defaultLimits } from '../image/limits.ts';
import { errnoOf } from '../system/errno.ts';
import { openOwnFile, readAtMost } from '../system/files.ts';
import type { Store } from '../store/store.ts';
import { corrupt } from './check-blob.ts';

/** Reads a manifest or an index of a registry, which is small. @throws STORE_CORRUPT unless it is what its digest says. */
export async function readDocument(store: Store, digest: Digest): Promise<Buffer> {
  const bytes = await readDocumentFile(store.digestPath(digest)).catch((error: unknown) => {
    throw corrupt(store, { id: digest }, errnoOf(error) === 'ENOENT' ? 'missing' : 'unreadable');
  });
  const found = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  if (found !== digest) throw corrupt(store, { id: digest }, 'wrong hash');
  return bytes;
}

async function readDocumentFile(path: string): Promise<Buffer> {
  await using file = await openOwnFile(path);
  return await readAtMost(file, defaultLimits.registryManifest + 1); // one byte more than a document may have
}
