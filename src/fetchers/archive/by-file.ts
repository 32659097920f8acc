import { stat } from 'node:fs/promises';

import { ImageError } from '../../errors.ts';
import { signaturePath } from '../../image/apps.ts';
import type { FileReference } from '../../image/reference.ts';
import { show } from '../../image/show.ts';
import { ingestLimits, removeOutput } from '../../pool/pool.ts';
import { startSession } from '../../pool/session.ts';
import { isNoEntry, whyFailed } from '../../system/errno.ts';
import type { FetchContext, FetchRequest } from '../context.ts';
import { fetched, type Found } from '../found.ts';
import { getSignature, showSignature, signatureSource } from '../signature.ts';
import { admit, check, type Checked, withCopy } from './admit.ts';

/** Reads an archive from a file, even if the store has the image. */
export async function fetchByFile(
  context: FetchContext,
  request: FetchRequest<FileReference>,
  signal: AbortSignal,
): Promise<Found> {
  const { path, carried } = request.reference;
  const bytes = await sizeOfFile(path);
  const checked = await context.slots.run(undefined, signal, () => readArchive(context, request, bytes, signal));
  const image = await admit(context, { checked, source: carried?.source ?? path, latest: carried?.latest ?? false });
  return fetched(image, 0);
}

async function readArchive(
  context: FetchContext,
  { key, reference: { path, carried }, signature: override, pin }: FetchRequest<FileReference>,
  bytes: number,
  signal: AbortSignal,
): Promise<Checked> {
  const source = signatureSource(override, { kind: 'file', path: signaturePath(path) });
  const signature = context.verifier && (await getSignature(context, key, source, signal));
  const proven = signature instanceof Uint8Array ? { bytes: signature, location: showSignature(source) } : undefined; // the answer for a file is never 'later'
  const image = context.store.temporaryPath();
  const copy = context.keepArchives ? context.store.temporaryPath() : undefined;
  const ingest = { path, isNamed: !carried, shown: show(path), image, limits: ingestLimits(context.limits) };
  const wanted = { ...(copy !== undefined && { archive: copy }), ...(proven && { signature: proven }) };
  const session = startSession(context.pool, { ...ingest, ...wanted }, bytes, signal);
  session.complete(bytes);
  const ingested = withCopy(await session.result, copy);
  try {
    const { signatureDigests: digests } = ingested;
    const proof = proven && { signature: proven.bytes, location: proven.location, digests };
    return await check(context, {
      key,
      ingested,
      image,
      expected: { ...pin, ...(carried && { imageId: carried.imageId }) },
      proof,
    });
  } catch (error) {
    await removeOutput({ image, archive: copy });
    throw error;
  }
}

async function sizeOfFile(path: string): Promise<number> {
  try {
    const found = await stat(path);
    if (found.isFile()) return found.size;
  } catch (error) {
    if (isNoEntry(error)) {
      throw new ImageError('FILE_NOT_FOUND', `there is no file ${show(path)}`, { path }, { cause: error });
    }
    const message = `${show(path)} can't be read: ${show(whyFailed(error))}`;
    throw new ImageError('FILE_UNREADABLE', message, { path }, { cause: error });
  }
  throw new ImageError('FILE_UNREADABLE', `${show(path)} is not a regular file`, { path });
}
