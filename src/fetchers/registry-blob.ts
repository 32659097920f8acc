import { hasCode, ImageError } from '../errors.ts';
import { abortable } from '../pool/abortable.ts';
import { downloadBlob } from '../registry/download-blob.ts';
import type { Descriptor } from '../registry/types.ts';
import type { Claim, Partial } from '../store/store.ts';
import type { FetchContext } from './context.ts';
import { observing } from './observing.ts';
import type { TransferProgress } from './registry-progress.ts';
import type { Pull } from './registry-pull.ts';
import { syncFile } from './sync-file.ts';

export type BlobRequest = {
  readonly pull: Pull;
  readonly blob: Pick<Descriptor, 'digest' | 'size'>;
  readonly progress: TransferProgress;
};

/** One blob into the store, unless it is there; of all who want it at the same time one brings it. */
export async function bringBlob(context: FetchContext, request: BlobRequest, signal: AbortSignal): Promise<void> {
  const { store, slots } = context;
  const { digest, size } = request.blob;
  const { host } = request.pull.wanted.reference;
  if (await store.hasBlob(digest, size)) return;
  const isMine = await slots.run(host, signal, async (slot) => {
    const claim = await store.tryClaim(digest);
    if (claim) await bringClaimed({ ...context, slot }, request, claim, signal);
    return claim !== undefined;
  });
  if (isMine) return;
  // Kept, in case the other one failed: of those who wait, only one must go on.
  await using claim = await store.claim(digest, signal);
  if (await store.hasBlob(digest, size)) return;
  await slots.run(host, signal, (slot) => bringClaimed({ ...context, slot }, request, claim, signal));
}

async function bringClaimed(
  context: FetchContext,
  request: BlobRequest,
  claim: Claim,
  signal: AbortSignal,
): Promise<void> {
  await using _claim = claim;
  const { digest, size } = request.blob;
  if (await context.store.hasBlob(digest, size)) return;
  const partial = await context.store.openPartial(digest);
  try {
    await receive(context, request, partial, signal);
  } catch (error) {
    const isBad = hasCode(error, 'SIZE_MISMATCH') || hasCode(error, 'DIGEST_MISMATCH');
    await (isBad ? partial.discard() : partial.close()).catch(() => undefined); // what went wrong first is the news
    throw error;
  }
}

/** What does not match its digest may do so from elsewhere, or if it comes from one response: once more, from the start. */
async function receive(
  context: FetchContext,
  request: BlobRequest,
  partial: Partial,
  signal: AbortSignal,
): Promise<void> {
  const { store, pool } = context;
  const { digest, size } = request.blob;
  for (let isSecond = false; ; isSecond = true) {
    const isMixed = await download(context, request, partial, isSecond, signal);
    context.slot?.arrived();
    const { path } = partial;
    const [{ hex }] = await Promise.all([
      abortable(pool.run('reHash', { path, algorithm: 'sha256' }), signal),
      syncFile(path),
    ]);
    const found = `sha256:${hex}`;
    if (found === digest) break;
    await partial.discard();
    if (isSecond || !isMixed) {
      const message = `the blob that came is ${found}, and not ${digest}`;
      throw new ImageError('DIGEST_MISMATCH', message, { asked: digest, found });
    }
  }
  await store.commitBlob({ path: partial.path, digest, size });
  await partial.discard();
}

/** @returns whether what is there now may be of more than one origin. */
async function download(
  context: FetchContext,
  { pull: { client, wanted }, blob, progress }: BlobRequest,
  partial: Partial,
  upstreamOnly: boolean,
  signal: AbortSignal,
): Promise<boolean> {
  if (partial.bytes > blob.size) await partial.discard();
  const onProgress = progress.start(blob.size, partial.bytes);
  if (blob.size > 0 && partial.bytes === blob.size) return true;
  const about = { repository: wanted.reference, blob, sink: partial, upstreamOnly };
  const { responses } = {
    responses: 0,
    ...(await downloadBlob(client, { ...about, observer: observing(context, wanted.key), onProgress }, signal)),
  };
  return responses > 1 || (client.options.mirrors ?? []).length > 0;
}
