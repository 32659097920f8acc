import { rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Readable } from 'node:stream';
import { isUint8Array } from 'node:util/types';
import { MessageChannel, type MessagePort } from 'node:worker_threads';

import type { Carried, FromImport, ToImport } from '../../workers/import/requests.ts';
import { hasCode, ImageError, isImageError } from '../errors.ts';
import type { FetchContext } from '../fetchers/context.ts';
import { type Digest, parseDigest } from '../image/digest.ts';
import { readError } from '../image/file-error.ts';
import type { Limits } from '../image/limits.ts';
import { show } from '../image/show.ts';
import { type Pool, workerFailed } from '../pool/pool.ts';
import type { Store } from '../store/store.ts';
import { openNamed } from '../system/files.ts';

/** Where images come from. What is in a file is told by its content. The bytes of a pipe are read to their end. */
export type ImportSource =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'directory'; readonly path: string; readonly roots?: readonly Digest[] }
  | { readonly kind: 'pipe'; readonly bytes: Readable; readonly name: string };

/** A file is read by the thread that needs it; what is no file, such as a pipe, by the main thread. @throws FILE_NOT_FOUND, FILE_UNREADABLE */
export async function fileSource(path: string): Promise<ImportSource> {
  try {
    const found = await stat(path);
    if (found.isDirectory()) return { kind: 'directory', path };
    return found.isFile() ? { kind: 'file', path } : { kind: 'pipe', bytes: await openNamed(path), name: path };
  } catch (error) {
    const failure = readError(error, path);
    throw isImageError(failure) ? withName(failure, path) : failure;
  }
}

export type ReceiveContext = {
  readonly store: Store;
  readonly pool: Pick<Pool, 'run'>;
  readonly limits: Limits;
  readonly onEvent: FetchContext['onEvent'];
};

/** What an archive says of its images, and the blobs of it that were not in the store before. */
export type Received = { readonly carried: Carried; readonly added: readonly Digest[] };

/**
 * Has a thread read an archive of images, and puts its files into the store: as blobs that no image needs yet. They stay there also if
 * this fails, unless the disk is full: until the garbage collection another import goes on with them.
 *
 * @param shown - shown in errors.
 * @throws as the task `importArchive`; FILE_UNREADABLE, FILE_NOT_FOUND for a pipe that fails
 */
export async function receiveArchive(
  { store, pool, limits, onEvent }: ReceiveContext,
  { source, shown }: { readonly source: ImportSource; readonly shown: string },
  signal: AbortSignal,
): Promise<Received> {
  const { port1: port, port2 } = new MessageChannel();
  const added: Digest[] = [];
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => undefined); // thrown once the thread has ended
  let [isFailed, isFull] = [false, false];
  const send = (message: ToImport): void => port.postMessage(message);
  const fail = (error: unknown): void => {
    isFailed = true;
    isFull ||= hasCode(error, 'STORE_FULL');
    failed.reject(error);
    send({ kind: 'stop' });
  };
  const pipe = source.kind === 'pipe' ? openPipe(source.bytes, shown, port) : undefined;

  const answer = async (message: FromImport): Promise<void> => {
    switch (message.kind) {
      case 'more':
        return pipe?.send();
      case 'read': {
        const { bytes, total } = message;
        onEvent({ type: 'archive-read', path: shown, bytes, ...(total !== undefined && { total }) });
        return;
      }
      case 'file': {
        const { id, digest, imageId, size } = message;
        const isThere = digest
          ? await store.hasBlob(digest, size)
          : imageId && (await store.blobState(imageId)) === 'intact';
        if (isThere) return send({ kind: 'place', id });
        const path = store.temporaryPath();
        using _room = await store.reserve(new Map([[path, size]])); // or else it is refused: what is written next is this
        return send({ kind: 'place', id, path });
      }
      case 'written': {
        const { id, path, digest, size, stamp } = message;
        if (await store.hasBlob(digest, size)) await rm(path, { force: true });
        else {
          await store.commitBlob({ path, stamp, digest, size });
          added.push(digest);
        }
        return send({ kind: 'kept', id });
      }
    }
  };
  /** Blobs that are being added. */
  const adding = new Set<Promise<void>>();
  port.on('message', (message: FromImport) => {
    const answered = answer(message).catch(fail);
    if (message.kind !== 'written') return;
    adding.add(answered);
    void answered.then(() => adding.delete(answered));
  });
  const abort = (): void => fail(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  try {
    if (signal.aborted) abort();
    const request = {
      source: source.kind === 'pipe' ? ({ kind: 'pipe' } as const) : source,
      shown,
      limits: {
        archiveBytes: limits.archive,
        headerBytes: limits.header,
        pathBytes: limits.path,
        entries: limits.entries,
      },
      blobs: dirname(store.digestPath(parseDigest(`sha256:${'0'.repeat(64)}`))),
      temporary: store.temporaryPath(),
      port: port2,
    };
    const carried = await pool.run('importArchive', request, [port2]);
    return { carried, added };
  } catch (error) {
    await Promise.all(adding);
    if (isFull || hasCode(error, 'STORE_FULL')) await store.discardBlobs(added); // another try needs the room
    if (isFailed) return await failed.promise;
    throw isImageError(error) ? withName(error, shown) : workerFailed(error, shown);
  } finally {
    signal.removeEventListener('abort', abort);
    port.close();
    pipe?.close();
  }
}

/** Says which archive, or which file of a layout, is not as it should be. */
function withName(error: ImageError, shown: string): ImageError {
  if (!/^(?:ARCHIVE_|MANIFEST_|LIMIT_|FILE_)/.test(error.code)) return error; // the others are about the store
  const name = hasCode(error, 'FILE_NOT_FOUND') || hasCode(error, 'FILE_UNREADABLE') ? error.details.path : shown;
  return new ImageError(error.code, `${show(name, 1000)}: ${error.message}`, error.details, { cause: error.cause });
}

/** Sends the bytes of a pipe, a piece for each time that `send` is called. */
function openPipe(bytes: Readable, shown: string, port: MessagePort) {
  const iterator = (bytes as AsyncIterable<unknown, undefined>)[Symbol.asyncIterator]();
  let sending = Promise.resolve();
  let isClosed = false;
  const sendNext = async (): Promise<void> => {
    if (isClosed) return;
    const { done, value } = await iterator.next().catch((error: unknown) => {
      throw pipeError(error, shown);
    });
    if (done === true) return port.postMessage({ kind: 'end' } satisfies ToImport);
    if (!isUint8Array(value)) throw pipeError(new TypeError('what it gives is not bytes'), shown);
    port.postMessage({ kind: 'bytes', bytes: value } satisfies ToImport);
  };
  return {
    send: (): Promise<void> => (sending = sending.then(sendNext)),
    /** What the writer of the pipe still sends is not read. */
    close(): void {
      isClosed = true;
      bytes.destroy();
    },
  };
}

function pipeError(error: unknown, shown: string): ImageError {
  const known = readError(error, shown);
  if (isImageError(known)) return withName(known, shown);
  const reason = show(error instanceof Error ? error.message : String(error));
  return new ImageError('FILE_UNREADABLE', `${shown} cannot be read: ${reason}`, { path: shown }, { cause: error });
}
