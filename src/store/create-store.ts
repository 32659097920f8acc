import { join } from 'node:path';

import { ImageError } from '../errors.ts';
import { shortImageId, type ImageId } from '../image/image-id.ts';
import { showUrl } from '../image/show-url.ts';
import type { Layout } from '../../workers/index-writer/protocol.ts';
import { createBlobs } from './blobs.ts';
import { readBootId } from './boot-id.ts';
import { createClaims } from './claims.ts';
import { formatImageRow, idDigits } from './image-row.ts';
import { createRegistryStore } from './create-registry-store.ts';
import { createLookups } from './lookups.ts';
import { openPartial } from './partial.ts';
import { partialFiles } from './partial-files.ts';
import type { Reader } from './reader.ts';
import { formatRemoteRow, hashKey } from './remote-row.ts';
import { inStore } from './store-error.ts';
import type { Partial, Patience, Store } from './store.ts';
import { createTouches } from './touches.ts';
import type { Writer } from './writer.ts';

export type StoreParts = {
  readonly layout: Layout;
  readonly readOnly: boolean;
  readonly reader: Reader;
  readonly writer: Writer;
  readonly patience?: Patience | undefined;
};

/** One store of its parts: lookups by the reader, changes by the writer, downloads by files alone. */
export async function createStore({ layout, readOnly, reader, writer, patience }: StoreParts): Promise<Store> {
  const { request, owner } = writer;
  const lookups = createLookups(reader, layout.index);
  const touches = createTouches((ids, atMs) => request('touch', { ids, atMs }));
  const registry = createRegistryStore(reader, layout, request);
  const { isAlone, ...claims } = createClaims(request, patience);
  const bootId = await readBootId();
  let temporaries = 0;
  let closed: Promise<void> | undefined;

  const shut = async (): Promise<void> => {
    void touches.flush();
    void registry.flushTouches();
    await reader.close(); // the last connection puts the log into the index: that must be one that may write
    await writer.close();
  };
  const close = (): Promise<void> => (closed ??= shut());
  const temporaryPath = (): string => join(layout.tmp, owner(), String((temporaries += 1)));

  return {
    dir: layout.dir,
    readOnly,
    ...lookups,
    ...createBlobs(reader, layout),
    ...claims,
    ...registry.store,

    putRemote: (url, record) => request('putRemote', formatRemoteRow(url, record)),
    confirmBlob: (imageId, stamp) => request('confirmBlob', { id: idDigits(imageId), stamp }),
    touch: (imageId) => touches.touch(idDigits(imageId)),

    temporaryPath,
    async commit({ path, stamp, image, manifest, remote }) {
      await request('commit', {
        path,
        stamp,
        image: formatImageRow(image),
        manifest,
        ...(remote && { remote: formatRemoteRow(remote.url, remote.record) }),
      });
      return (await lookups.getImage(image.imageId)) ?? notListed(image.imageId);
    },
    relist: ({ image, manifest, stamp }) =>
      request('relist', { kind: 'image', image: formatImageRow(image), manifest, stamp }),
    endRelisting: () => request('endRelisting', undefined),
    async remove(imageId, { keepsFile = false } = {}) {
      return (await request('remove', { id: idDigits(imageId), keepsFile })) ?? notListed(imageId);
    },
    collect: ({ nowMs, partialsOlderThanMs, dryRun = false }) =>
      request('collect', { nowMs, partialsOlderThanMs, dryRun }),

    async openPartial(text): Promise<Partial> {
      const own = join(layout.tmp, owner()); // a store that is only read refuses here
      const key = hashKey(text);
      const fresh = { key, url: showUrl(text), epoch: 0, synced: 0, ...(bootId !== undefined && { bootId }) };
      // Who holds the claim may go on at any time, in the place that is known to all.
      const place = isAlone(key) ? { ...layout, downloads: own } : layout;
      return inStore(join(place.downloads, key), () => openPartial(partialFiles(place, key, temporaryPath), fresh));
    },
    async peekPartial(url) {
      const found = await partialFiles(layout, hashKey(url), temporaryPath).peek(bootId);
      return found && { bytes: found.bytes, validator: found.state.validator, total: found.state.total };
    },

    close,
    [Symbol.asyncDispose]: close,
  };
}

function notListed(imageId: ImageId): never {
  throw new ImageError('NOT_IN_STORE', `${shortImageId(imageId)} is not in the store`, { asked: imageId });
}
