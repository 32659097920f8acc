import { type BigIntStats, fstatSync, lstatSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';

import { isImageError } from '../errors.ts';
import type { Digest } from '../image/digest.ts';
import type { StoredBlob } from '../store/registry-store.ts';
import type { Store } from '../store/store.ts';
import { setNewest } from '../system/bounded-map.ts';
import { debugLog } from '../system/debug.ts';
import { errnoOf } from '../system/errno.ts';
import { openOwnFile, stampText } from '../system/files.ts';
import { singleFlight } from '../system/single-flight.ts';
import { type Answer, type AnswerKind, type Asked, refusal, select } from './answer.ts';

const debug = debugLog('serve');

export type Blobs = {
  /**
   * Answers with a file of `blobs/sha256`, or with a part of it; undefined if it is missing or damaged.
   *
   * @param headers - of the answer, besides those of every file.
   */
  readonly answer: (
    store: Pick<Store, 'digestPath' | 'digestState'>,
    blob: StoredBlob,
    asked: Pick<Asked, 'headers' | 'signal'>,
    about: { readonly kind: AnswerKind; readonly headers: Readonly<Record<string, string>> },
  ) => Promise<Answer | undefined>;
};

/** Hashes a file by sha256, in a thread. */
export type HashFile = (path: string) => Promise<{ readonly hex: string; readonly bytes: number }>;

/** The files of so many blobs are remembered as hashed. */
const rememberedFiles = 10_000;

/**
 * The blobs of a store. One that is not as it was when the store took it, such as in a copy of a store, is hashed before its first
 * byte is sent, once as long as it does not change.
 */
export function createBlobs(hashFile: HashFile): Blobs {
  /** The state of files that were hashed and found good. */
  const sound = new Map<Digest, string>();
  const hashing = new Map<Digest, (signal: AbortSignal) => Promise<boolean>>();

  const hash = async (path: string, digest: Digest): Promise<boolean> => {
    const before = lstatSync(path, { bigint: true, throwIfNoEntry: false });
    if (!before) return false;
    debug(() => `${digest}: is not as the index knows it, and hashed`);
    try {
      const { hex } = await hashFile(path);
      const isGood = `sha256:${hex}` === digest;
      if (isGood) setNewest(sound, digest, stampText(before), rememberedFiles);
      return isGood;
    } catch (error) {
      if (isImageError(error)) return false; // it is gone, or cannot be read
      throw error;
    }
  };

  const hashOnce = async (path: string, digest: Digest, signal: AbortSignal): Promise<boolean> => {
    const flight = hashing.get(digest) ?? singleFlight(() => hash(path, digest).finally(() => hashing.delete(digest)));
    hashing.set(digest, flight);
    return flight(signal);
  };

  /** The open file, if it is what the index knows, or was hashed. */
  const openSound = async (
    store: Pick<Store, 'digestPath' | 'digestState'>,
    digest: Digest,
    size: number,
    signal: AbortSignal,
  ): Promise<FileHandle | undefined> => {
    const path = store.digestPath(digest);
    const isIntact = (await store.digestState(digest, size)) === 'intact';
    if (!isIntact && !isSound(digest, lstatSync(path, { bigint: true, throwIfNoEntry: false }))) {
      if (!(await hashOnce(path, digest, signal))) return undefined;
    }
    const known = lstatSync(path, { bigint: true, throwIfNoEntry: false });
    if (!isIntact && !isSound(digest, known)) return undefined;
    const file = await openIfThere(path);
    if (!file) return undefined;
    const opened = fstatSync(file.fd, { bigint: true });
    // what is sent is the file that was looked at; from here on it may be removed
    if (known && stampText(opened) === stampText(known) && opened.size === BigInt(size)) return file;
    await file.close();
    return undefined;
  };

  const isSound = (digest: Digest, stat: BigIntStats | undefined): boolean =>
    stat !== undefined && sound.get(digest) === stampText(stat);

  return {
    async answer(store, { digest, size }, { headers, signal }, { kind, headers: own }) {
      const etag = `"${digest}"`;
      const shared = { ...own, etag, 'accept-ranges': 'bytes' };
      const selection = select(headers, etag, size);
      if (selection.status === 304) return { kind, status: 304, headers: shared };
      const file = await openSound(store, digest, size, signal);
      if (!file) return undefined;
      if (selection.status === 416) {
        await file.close();
        return refusal(416, 'UNSUPPORTED', `it has ${size} bytes`, { 'content-range': `bytes */${size}` });
      }
      const { status, from, to } = selection;
      const range = status === 206 && { 'content-range': `bytes ${from}-${to - 1}/${size}` };
      return {
        ...{ kind, status, body: { file, from, to } },
        headers: { 'content-type': 'application/octet-stream', ...shared, ...range },
      };
    },
  };
}

function openIfThere(path: string): Promise<FileHandle | undefined> {
  return openOwnFile(path).catch((error: unknown) => {
    if (errnoOf(error) !== undefined) return undefined;
    throw error;
  });
}
