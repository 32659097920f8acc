import { lstatSync } from 'node:fs';
import { join } from 'node:path';

import type { Layout } from '../../workers/index-writer/protocol.ts';
import { imageBlobName } from '../image/blob-name.ts';
import { namesIn } from '../system/directory.ts';
import { idDigits } from './image-row.ts';
import type { Reader } from './reader.ts';
import { hasStamp, stampColumns } from './stamp.ts';
import { inStore } from './store-error.ts';
import type { Store } from './store.ts';

export type Blobs = Pick<Store, 'blobPath' | 'blobState' | 'unreferenced'>;

/** The files of the images, and how they compare with the index. */
export function createBlobs(reader: Reader, { blobs }: Layout): Blobs {
  const stampOf = reader.prepare(`SELECT ${stampColumns} FROM images WHERE id = ?`);
  const listed = reader.prepare('SELECT 1 FROM images WHERE id = ?');
  const blobPath = (imageId: string): string => `${blobs}/${idDigits(imageId)}`; // join looks at each of 128 digits

  return {
    blobPath,
    blobState(imageId) {
      const path = blobPath(imageId);
      return inStore(path, async () => {
        // A stat takes 5 µs where it stands, 30 in another thread, and every image that is present needs one.
        const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
        const row = await stampOf.get(idDigits(imageId));
        if (!stat?.isFile() || !row) return 'missing';
        return hasStamp(stat, row) ? 'intact' : 'changed';
      });
    },
    async *unreferenced() {
      for await (const name of namesIn(blobs)) {
        if (imageBlobName.test(name) && !(await listed.get(name))) yield join(blobs, name);
      }
    },
  };
}
