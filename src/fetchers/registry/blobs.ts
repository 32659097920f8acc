import { open } from 'node:fs/promises';

import { hasCode, ImageError } from '../../errors.ts';
import type { DownloadedFrom } from '../../registry/client.ts';
import { downloadBlob } from '../../registry/download-blob.ts';
import type { Descriptor } from '../../registry/types.ts';
import type { Claim, PartialDownload } from '../../store/store.ts';
import { inStore } from '../../store/store-error.ts';
import { stampFile } from '../../system/files.ts';
import { abortable } from '../../system/single-flight.ts';
import { whenFilesAreFree } from '../../system/spare-files.ts';
import { type FetchContext, observing, tellingSilence } from '../context.ts';
import { hasBlob } from '../stored.ts';
import type { Pull } from './image.ts';

type BlobRequest = {
  readonly pull: Pull;
  readonly blob: Pick<Descriptor, 'digest' | 'size'>;
  readonly progress: TransferProgress;
};

/** One blob into the store, unless it is there; of all who want it at the same time one brings it. */
export async function bringBlob(context: FetchContext, request: BlobRequest, signal: AbortSignal): Promise<void> {
  const { store, slots } = context;
  const { digest } = request.blob;
  const { host } = request.pull.wanted.reference;
  if (await hasBlob(context, request.blob, signal)) return;
  const isMine = await slots.run(host, signal, async (slot) => {
    const claim = await store.tryClaim(digest);
    if (claim) await bringClaimed({ ...context, slot }, request, claim, signal);
    return claim !== undefined;
  });
  if (isMine) return;
  // Kept, in case the other one failed: of those who wait, only one must go on.
  await using claim = await store.claim(digest, signal, tellingSilence(context, request.pull.wanted.key));
  if (await hasBlob(context, request.blob, signal)) return;
  await slots.run(host, signal, (slot) => bringClaimed({ ...context, slot }, request, claim, signal));
}

async function bringClaimed(
  context: FetchContext,
  request: BlobRequest,
  claim: Claim,
  signal: AbortSignal,
): Promise<void> {
  await using _claim = claim;
  const { digest } = request.blob;
  if (await hasBlob(context, request.blob, signal)) return;
  const partial = await context.store.openPartial(digest);
  try {
    await receive(context, request, partial, signal);
  } catch (error) {
    const isBad = hasCode(error, 'SIZE_MISMATCH') || hasCode(error, 'DIGEST_MISMATCH');
    await (isBad ? partial.discard() : partial.close()).catch(() => undefined); // what went wrong first is the news
    throw error;
  }
}

/**
 * What does not match its digest may do so if it comes from one response: once more, from the start. A mirror that has
 * other bytes is named, and not asked for this blob any more.
 */
async function receive(
  context: FetchContext,
  request: BlobRequest,
  partial: PartialDownload,
  signal: AbortSignal,
): Promise<void> {
  const { store, pool } = context;
  const { digest, size } = request.blob;
  const excludedMirrors = new Set<string>();
  for (let isSecond = false; ;) {
    const { isMixed, from } = await download(context, request, partial, excludedMirrors, signal);
    context.slot?.arrived();
    const { path } = partial;
    const before = stampFile(path); // what changes while it is hashed is another file
    const [{ hex }] = await Promise.all([
      abortable(pool.run('reHash', { path, algorithm: 'sha256' }), signal),
      syncFile(path),
    ]);
    const found = `sha256:${hex}`;
    if (found === digest && before) {
      await store.commitBlob({ path, stamp: before.stamp, digest, size });
      return partial.discard();
    }
    await partial.discard();
    const mayBeElse = isMixed && !isSecond;
    if (!mayBeElse && !from?.isMirror) {
      const message = `the blob that came is ${found}, and not ${digest}`;
      throw new ImageError('DIGEST_MISMATCH', message, { asked: digest, found });
    }
    isSecond = true;
    if (mayBeElse || !from) continue;
    excludedMirrors.add(from.host);
    const message = `the mirror ${from.host} has other bytes for the blob ${digest}: they are ${found}`;
    context.onEvent({ type: 'warning', key: request.pull.wanted.key, message });
  }
}

type Came = { readonly isMixed: boolean; readonly from?: DownloadedFrom['from'] };

/** @returns whether what is there now may be of more than one response, and where the last of it came from. */
async function download(
  context: FetchContext,
  { pull: { client, wanted }, blob, progress }: BlobRequest,
  partial: PartialDownload,
  excludedMirrors: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<Came> {
  if (partial.bytes > blob.size) await partial.discard();
  const onProgress = progress.start(blob.size, partial.bytes);
  if (blob.size > 0 && partial.bytes === blob.size) return { isMixed: true };
  const about = { repository: wanted.reference, blob, sink: partial, excludedMirrors };
  const downloaded = await downloadBlob(
    client,
    { ...about, observer: observing(context, wanted.key), onProgress },
    signal,
  );
  const { responses } = { responses: 0, ...downloaded };
  return { isMixed: responses > 1, from: downloaded.from };
}

/** Resolves when the file's bytes survive a power cut. @throws STORE_FULL, STORE_READ_ONLY, STORE_CORRUPT */
function syncFile(path: string): Promise<void> {
  return inStore(path, async () => {
    await using file = await whenFilesAreFree(() => open(path, 'r+'));
    await file.datasync();
  });
}

/** Tells of the transfers of one image as of one. */
export type TransferProgress = {
  /** Bytes that have come over the network. */
  readonly bytes: number;
  /** One more blob is brought, so many bytes of which are there already. @returns to be told of its bytes as they come */
  start(size: number, resumedFrom: number): (bytes: number) => void;
  end(): void;
};

export function transferProgress(
  { onEvent }: Pick<FetchContext, 'onEvent'>,
  { wanted: { key }, resolved: { endpoint: url } }: Pick<Pull, 'wanted' | 'resolved'>,
): TransferProgress {
  let total = 0;
  let there = 0;
  let bytes = 0;
  let isStarted = false;
  return {
    get bytes() {
      return bytes;
    },
    start(size, resumedFrom) {
      total += size;
      there += resumedFrom;
      if (!isStarted) onEvent({ type: 'download-started', key, url, total, resumedFrom });
      isStarted = true;
      let last = resumedFrom;
      return (now) => {
        there += now - last;
        bytes += Math.max(0, now - last); // a restart takes some back
        last = now;
        onEvent({ type: 'download-progress', key, bytes: there, total });
      };
    },
    end() {
      if (isStarted) onEvent({ type: 'download-finished', key, url, bytes: there });
    },
  };
}
