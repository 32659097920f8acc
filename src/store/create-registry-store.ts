import { ImageError } from '../errors.ts';
import { isDigest } from '../image/digest.ts';
import { show } from '../image/show.ts';
import type { Layout } from '../../workers/index-writer/protocol.ts';
import type { Reader } from './reader.ts';
import { createRegistryLookups } from './registry-lookups.ts';
import { digestDigits, formatRegistryRow, neededBlobs } from './registry-row.ts';
import type { RegistryStore } from './registry-store.ts';
import { createTouches } from './touches.ts';
import type { Request } from './writer.ts';

export function createRegistryStore(
  reader: Reader,
  layout: Layout,
  request: Request,
): { readonly store: RegistryStore; readonly flushTouches: () => Promise<void> } {
  const lookups = createRegistryLookups(reader, layout);
  const touches = createTouches((ids, atMs) => request('touchRegistryImages', { ids, atMs }));
  const store: RegistryStore = {
    ...lookups,
    commitBlob: ({ path, stamp, digest, size }) =>
      request('commitBlob', { path, stamp, digest: digestDigits(digest), size }),
    relistBlob: ({ digest, size, stamp }) =>
      request('relist', { kind: 'blob', digest: digestDigits(digest), size, stamp }),
    confirmDigest: (digest, stamp) => request('confirmDigest', { digest: digestDigits(digest), stamp }),
    dropBlob: (digest, { keepsFile = false } = {}) => request('dropBlob', { digest: digestDigits(digest), keepsFile }),
    async commitRegistryImage(commit) {
      await request('commitRegistryImage', { row: formatRegistryRow(commit), blobs: neededBlobs(commit) });
      return (await lookups.findRegistryImage(commit.reference)) ?? notListed(commit.reference);
    },
    touchRegistryImage: (reference) => touches.touch(reference),
    async removeRegistryImage(asked) {
      const what = isDigest(asked) ? { digest: digestDigits(asked) } : { reference: asked };
      return (await request('removeRegistryImage', what)) ?? notListed(asked);
    },
    writeOciIndex: ({ setAsideDamagedAtMs } = {}) => request('writeOciIndex', { setAsideDamagedAtMs }),
  };
  return { store, flushTouches: () => touches.flush() };
}

function notListed(asked: string): never {
  throw new ImageError('NOT_IN_STORE', `${show(asked)} is not in the store`, { asked });
}
