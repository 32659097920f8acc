import { getDefaultHighWaterMark } from 'node:stream';

import type { RequestBody } from '../http/contract.ts';
import { bodyOf, tellSending } from '../http/request-body.ts';
import { type CheckedBlob, openChecked } from '../store/checked-blob.ts';
import type { StoredBlob } from '../store/registry-store.ts';
import { damagedBlob, type PushContext } from './context.ts';

/** A blob of the store that is being sent. */
export type BlobSource = Pick<CheckedBlob, 'sound' | 'rehash'> &
  AsyncDisposable & {
    /**
     * The bytes from one position to another. Those with the last byte of the blob end only once the whole blob has been found to
     * match its digest, or to be unchanged; otherwise they fail with STORE_CORRUPT, so that no upload of a damaged blob is complete.
     */
    body(from: number, to: number): RequestBody;
  };

/** So many bytes may wait in a socket. */
const socketBuffer = getDefaultHighWaterMark(false);

/**
 * Opens a blob. While its bytes are sent, a thread hashes the file, unless it is as the store took it.
 *
 * @param onBytes - called with the size of each chunk that is sent.
 * @throws STORE_CORRUPT
 */
export async function openBlob(
  context: PushContext,
  { digest, size }: StoredBlob,
  onBytes: (bytes: number) => void,
  signal: AbortSignal,
): Promise<BlobSource> {
  const blob = await openChecked(
    { id: digest, size, path: context.store.digestPath(digest) },
    {
      hashFile: (path, _algorithm, bytes) => context.hashFile(path, bytes),
      damaged: (problem) => damagedBlob(context, digest, problem),
      isIntact: async () => (await context.store.digestState(digest, size)) === 'intact',
    },
    signal,
  );
  return {
    body(from, to) {
      const { bytes } = blob;
      if (bytes) return tellSending(bodyOf(bytes.subarray(from, to)), () => onBytes(to - from));
      return {
        bytes: to - from,
        async *open() {
          // a socket asks for the next chunk once the kernel has taken all of this one, or at once after a small one
          for await (const chunk of blob.read(from, to, true)) {
            onBytes(chunk.byteLength);
            yield chunk.byteLength < socketBuffer ? Uint8Array.from(chunk) : chunk;
          }
        },
      };
    },
    sound: () => blob.sound(),
    rehash: () => blob.rehash(),
    [Symbol.asyncDispose]: () => blob[Symbol.asyncDispose](),
  };
}
