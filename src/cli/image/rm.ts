import type { Writable } from 'node:stream';

import { removeImages, type Store } from '../../index.ts';
import type { Failure } from './failure.ts';
import { sizeText } from './image-fields.ts';
import { write } from './write.ts';

/** Prints the ID of every image that is gone, and what all that gave back. @returns what could not be removed. */
export async function runRemove(
  { stdout, stderr }: { readonly stdout: Writable; readonly stderr: Writable },
  store: Store,
  asked: readonly string[],
): Promise<readonly Failure[]> {
  const failures: Failure[] = [];
  let count = 0;
  let bytes = 0;
  for await (const removal of removeImages(store, asked)) {
    if (removal.kind === 'failed') {
      failures.push(removal);
      continue;
    }
    count += 1;
    bytes += removal.bytes;
    await write(stdout, `${removal.image.imageId}\n`);
  }
  if (count > 0) await write(stderr, `removed ${count} ${count === 1 ? 'image' : 'images'}: ${sizeText(bytes)}\n`);
  return failures;
}
