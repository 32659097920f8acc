import { hasCode } from '../../errors.ts';
import type { ResolvedImage } from '../../registry/resolve.ts';
import type { StoredImage } from '../../store/store.ts';
import type { FetchContext } from '../context.ts';
import type { Found } from '../found.ts';
import { lockMismatch } from '../lock.ts';
import { convertImage, openUnpacker } from './convert.ts';
import { describeRegistryImage, type Pull, type WantedImage } from './image.ts';
import { keepImage } from './keep.ts';
import { fetchParts } from './layers.ts';
import { withResolved } from './resolution.ts';
import { openSignatureCheck } from './signatures.ts';
import { lookUpRegistryImage } from './stored.ts';

/**
 * Downloads the missing parts of an image and commits it; the caller holds the claim of its reference. The signatures are checked
 * before any layer is downloaded. The image is listed only when all of it has been verified and, unless it is stored as it is,
 * converted.
 */
export async function pullImage(context: FetchContext, wanted: WantedImage, signal: AbortSignal): Promise<Found> {
  const verify = await openSignatureCheck(context, wanted);
  const client = await context.registries.client();
  const pullResolved = async (resolved: ResolvedImage, documentsKept: Promise<unknown>): Promise<Found> => {
    const { digest } = resolved.manifest;
    if (wanted.locked !== undefined && digest !== wanted.locked)
      throw lockMismatch(wanted.url, wanted.locked, `it is ${digest}`);
    const verified = await verify(resolved, signal);
    const known = await lookUpRegistryImage(context, wanted, signal);
    const aci = known?.digest === resolved.digest ? known.aci : undefined;
    const pull = { wanted, client, resolved, verified, documentsKept };
    try {
      return await storeImage(context, pull, aci, signal);
    } catch (error) {
      if (signal.aborted || !isBlobGone(error)) throw error;
      return storeImage(context, pull, aci, signal); // another tool, or the garbage collection, has removed a blob meanwhile
    }
  };
  return withResolved(context, { client, wanted }, pullResolved, signal);
}

/** @param aci - the archive that the same image was converted to before. */
async function storeImage(
  context: FetchContext,
  pull: Pull,
  aci: StoredImage | undefined,
  signal: AbortSignal,
): Promise<Found> {
  const { keep } = context.registries;
  await using unpacker = keep === 'oci' || aci ? undefined : openUnpacker(context);
  const { config, platform, bytesDownloaded } = await fetchParts(context, pull, unpacker, signal);
  await pull.documentsKept;
  const converted = unpacker && (await convertImage(context, pull, { config, tars: unpacker.tars }, signal));
  const archive = converted ?? aci;
  const kept = keep === 'aci' ? undefined : await keepImage(context, pull, { config, platform, archive }, signal);
  const image = kept && (keep === 'oci' || !archive) ? describeRegistryImage(pull.wanted.reference, kept) : archive;
  if (!image) throw new Error('an image was not stored in any form');
  return { status: 'fetched', image, bytesDownloaded, endpoint: pull.resolved.endpoint };
}

function isBlobGone(error: unknown): boolean {
  return hasCode(error, 'STORE_CORRUPT') || hasCode(error, 'FILE_NOT_FOUND');
}
