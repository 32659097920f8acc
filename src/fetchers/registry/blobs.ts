import { hasCode, ImageError } from '../../errors.ts';
import type { DownloadedFrom } from '../../registry/client.ts';
import { downloadBlob } from '../../registry/download-blob.ts';
import { showPlace } from '../../registry/place.ts';
import type { ResolvedImage } from '../../registry/resolve.ts';
import type { Descriptor } from '../../registry/types.ts';
import type { Claim, PartialDownload } from '../../store/store.ts';
import { inStore } from '../../store/store-error.ts';
import { stampFile } from '../../system/files.ts';
import { abortable, sideBySide } from '../../system/single-flight.ts';
import { syncFile } from '../../system/write-files.ts';
import { createObserver, type FetchContext, type SharedBlobs, warnOfSilence } from '../context.ts';
import { createRanges } from '../ranges.ts';
import { hasBlob } from '../stored.ts';
import type { Pull } from './image.ts';

type BlobRequest = {
  readonly pull: Pick<Pull, 'client' | 'wanted'>;
  readonly blob: Pick<Descriptor, 'digest' | 'size'>;
  readonly progress: TransferProgress;
  readonly shared: SharedBlobs | undefined;
};

/** The blobs of an image that the store does not have, the largest first, with room for all of them. */
type MissingBlobs = Disposable & {
  readonly missing: readonly Pick<Descriptor, 'digest' | 'size'>[];
  /** Absent if nobody else brings them. */
  readonly shared: SharedBlobs | undefined;
};

type NeededBlobs = {
  readonly pull: Pick<Pull, 'wanted'>;
  readonly blobs: readonly Descriptor[];
  /** What else is needed, if that is not in the store: no room is reserved for it. */
  readonly config?: Descriptor;
};

/**
 * Finds out which blobs the store does not have, and reserves room for all of them: without one of them the others are of no use.
 *
 * @throws STORE_FULL
 */
export async function reserveMissing(
  context: FetchContext,
  { pull: { wanted }, blobs, config }: NeededBlobs,
  signal: AbortSignal,
): Promise<MissingBlobs> {
  const { store, sharing } = context;
  const areThere = await Promise.all(blobs.map((blob) => hasBlob(context, blob, signal)));
  const missing = blobs.filter((_, at) => !areThere[at]).toSorted((one, other) => other.size - one.size);
  using opened = new DisposableStack();
  opened.use(await store.reserve(new Map(missing.map(({ digest, size }) => [digest, size]))));
  const needed = config && sharing && !(await hasBlob(context, config, signal)) ? [...missing, config] : missing;
  const shared = needed.length > 0 ? await sharing?.begin(wanted, needed, signal) : undefined;
  const room = opened.move();
  return { missing, shared, [Symbol.dispose]: () => room.dispose() };
}

/** Fetches a blob that the store did not have. Of several fetches of it at the same time, in any process, one downloads it. */
export async function fetchBlob(context: FetchContext, request: BlobRequest, signal: AbortSignal): Promise<void> {
  const { store, slots } = context;
  const { digest } = request.blob;
  const { host } = request.pull.wanted.reference;
  if (request.shared) await request.shared.mayAsk(digest, signal);
  const isMine = await slots.run(host, signal, async (slot) => {
    const claim = await store.tryClaim(digest);
    if (claim) await fetchClaimed({ ...context, slot }, request, claim, signal);
    return claim !== undefined;
  });
  if (isMine) return;
  // the claim is held until the end: if the other fetch failed, only one of the waiting ones may download at a time
  await using claim = await store.claim(digest, signal, warnOfSilence(context, request.pull.wanted.key));
  if (await hasBlob(context, request.blob, signal)) return;
  await slots.run(host, signal, (slot) => fetchClaimed({ ...context, slot }, request, claim, signal));
}

type BlobsRequest = {
  readonly pull: Pick<Pull, 'client' | 'wanted'>;
  readonly blobs: readonly Descriptor[];
  readonly progress: TransferProgress;
};

/** Fetches blobs that the store does not have, the largest first. If one fails, the others are aborted. */
export async function fetchBlobs(
  context: FetchContext,
  { pull, blobs, progress }: BlobsRequest,
  signal: AbortSignal,
): Promise<void> {
  using reserved = await reserveMissing(context, { pull, blobs }, signal);
  const { missing, shared } = reserved;
  await sideBySide(missing, (blob, either) => fetchBlob(context, { pull, blob, progress, shared }, either), signal);
}

async function fetchClaimed(
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
    await (isBad(error) ? partial.discard() : partial.close()).catch(() => undefined); // the first error is reported
    throw error;
  }
}

/**
 * Downloads and checks a blob. If the digest is wrong and the bytes are from more than one response, it is downloaded again from the
 * start, once. A mirror with other content is warned about and not asked for this blob again, and no peer is then.
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
    const { isMixed, from } = await download(context, request, { partial, excludedMirrors, isSecond }, signal);
    context.slot?.arrived();
    const { path } = partial;
    const before = stampFile(path); // if the file changes while it is hashed, the stamp no longer matches it
    const [{ hex }] = await Promise.all([
      abortable(pool.run('reHash', { path, algorithm: 'sha256', size }), signal),
      inStore(path, () => syncFile(path)),
    ]);
    const found = `sha256:${hex}`;
    if (found === digest && before) {
      await store.commitBlob({ path, stamp: before.stamp, digest, size });
      return partial.discard();
    }
    await partial.discard();
    const mayBeElse = isMixed && !isSecond;
    if (!mayBeElse && (!from || from.kind === 'registry')) {
      const message = `the blob has the digest ${found}, not ${digest}`;
      throw new ImageError('DIGEST_MISMATCH', message, { asked: digest, found });
    }
    isSecond = true;
    if (mayBeElse || !from) continue;
    excludedMirrors.add(from.host);
    const message = `${showPlace(from)} has other content for the blob ${digest}, with the digest ${found}`;
    context.onEvent({ type: 'warning', key: request.pull.wanted.key, message });
  }
}

type DownloadResult = { readonly isMixed: boolean; readonly from?: DownloadedFrom['from'] };

type DownloadTry = {
  readonly partial: PartialDownload;
  readonly excludedMirrors: ReadonlySet<string>;
  readonly isSecond: boolean;
};

/** @returns whether the bytes may be from more than one response, and the place of the last bytes */
async function download(
  context: FetchContext,
  { pull: { client, wanted }, blob, progress }: BlobRequest,
  { partial, excludedMirrors, isSecond }: DownloadTry,
  signal: AbortSignal,
): Promise<DownloadResult> {
  if (partial.bytes > blob.size) await partial.discard();
  const onProgress = progress.start(blob, partial.bytes);
  if (blob.size > 0 && partial.bytes === blob.size) return { isMixed: true };
  const about = { repository: wanted.reference, blob, excludedMirrors, excludesPeers: isSecond };
  const { store, slots } = context;
  const ranges = createRanges(
    {
      ...{ store, slots, key: blob.digest, host: wanted.reference.host },
      download: (range, slot, either) => {
        const observer = createObserver({ ...context, slot }, wanted.key);
        return downloadBlob(client, { ...about, ...range, observer }, either);
      },
    },
    signal,
  );
  const observer = createObserver(context, wanted.key);
  const once = { ...about, sink: partial, observer, onProgress };
  try {
    // once more from the start, it is to come in one response
    const downloaded = await downloadBlob(client, isSecond ? once : { ...once, ahead: ranges }, signal);
    await ranges.close('discard');
    const { responses, transferred } = { responses: 0, transferred: 0, ...downloaded };
    progress.received(transferred);
    return { isMixed: responses > 1, from: downloaded.from };
  } catch (error) {
    await ranges.close(isBad(error) ? 'discard' : 'keep');
    throw error;
  }
}

function isBad(error: unknown): boolean {
  return hasCode(error, 'SIZE_MISMATCH') || hasCode(error, 'DIGEST_MISMATCH');
}

/** Reports the downloads of all blobs of one image as one download. */
export type TransferProgress = {
  /** The number of bytes that were received from the network. */
  readonly bytes: number;
  /**
   * Called when the download of a blob starts, also when it starts again, which counts once.
   *
   * @returns a function to call with the number of its bytes as they arrive
   */
  start(blob: Pick<Descriptor, 'digest' | 'size'>, resumedFrom: number): (bytes: number) => void;
  /** Called when the download of a blob has ended, with the number of its bytes that came from the network. */
  received(bytes: number): void;
  end(): void;
};

export function transferProgress(
  { onEvent }: Pick<FetchContext, 'onEvent'>,
  { wanted: { key }, resolved: { endpoint: url } }: Pick<Pull<Pick<ResolvedImage, 'endpoint'>>, 'wanted' | 'resolved'>,
): TransferProgress {
  let total = 0;
  let present = 0;
  let bytes = 0;
  let isStarted = false;
  const presentOf = new Map<string, number>();
  return {
    get bytes() {
      return bytes;
    },
    start({ digest, size }, resumedFrom) {
      if (!presentOf.has(digest)) total += size;
      present += resumedFrom - (presentOf.get(digest) ?? 0);
      presentOf.set(digest, resumedFrom);
      if (!isStarted) onEvent({ type: 'download-started', key, url, total, resumedFrom });
      isStarted = true;
      let last = resumedFrom;
      return (now) => {
        present += now - last;
        last = now;
        presentOf.set(digest, now);
        onEvent({ type: 'download-progress', key, bytes: present, total });
      };
    },
    received(more) {
      bytes += more;
    },
    end() {
      if (isStarted) onEvent({ type: 'download-finished', key, url, bytes: present });
    },
  };
}
