import type { Writable } from 'node:stream';

import { collect, show, type CollectRequest, type Store } from '../../index.ts';
import { imageTitle, sizeText } from './image-fields.ts';
import { formatTable } from './table.ts';
import { write } from './write.ts';

/** Gives space back and says what went, or would go; nothing at all when there was nothing to do. */
export async function runCollect(stdout: Writable, store: Store, request: CollectRequest): Promise<void> {
  const { images, imageBytes, garbage } = await collect(store, request);
  const rows = images.map((image) => [image.imageId.slice(0, 39), show(imageTitle(image), 1000), sizeText(image.size)]);
  await write(stdout, formatTable(rows));
  const counts = [
    counted(images.length, 'image'),
    counted(garbage.blobs, 'unreferenced blob'),
    counted(garbage.partials, 'partial download'),
    counted(garbage.temporaries, 'temporary directory', 'temporary directories'),
  ].filter((text) => text !== '');
  if (counts.length === 0) return;
  const verb = request.dryRun ? 'would remove' : 'removed';
  await write(stdout, `${verb} ${counts.join(', ')}: ${sizeText(imageBytes + garbage.bytes)}\n`);
}

function counted(count: number, one: string, many = `${one}s`): string {
  return count === 0 ? '' : `${count} ${count === 1 ? one : many}`;
}
