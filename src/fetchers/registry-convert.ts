import { rm } from 'node:fs/promises';

import { abortable } from '../pool/abortable.ts';
import type { RegistryDocument } from '../registry/types.ts';
import { ingestLimits } from '../pool/ingest-limits.ts';
import type { StoredImage } from '../store/store.ts';
import type { ConvertRequest, ConvertResponse } from '../../workers/convert/requests.ts';
import type { FetchContext } from './context.ts';
import { notConvertible } from './not-convertible.ts';
import { isLatest } from './registry-image.ts';
import { provenanceOf } from './registry-verify.ts';
import { recordOf } from './registry-known.ts';
import type { Pull } from './registry-pull.ts';

/** What an archive is made of: `tars` are those of the layers, by position. */
export type Unpacked = { readonly config: RegistryDocument; readonly tars: readonly string[] };

/** Makes an archive of an image whose layers are unpacked, and commits it. */
export async function convertImage(
  context: FetchContext,
  pull: Pull,
  unpacked: Unpacked,
  signal: AbortSignal,
): Promise<StoredImage> {
  const { store, onEvent, nowMs } = context;
  const { wanted, resolved, verified } = pull;
  const { key, source, url, reference } = wanted;
  const path = store.temporaryPath();
  const { imageId, size, stamp, manifest, parsed, warnings } = await convert(
    context,
    requestOf(context, pull, unpacked, path),
    signal,
  );
  for (const message of warnings) onEvent({ type: 'warning', key, message });
  onEvent({ type: 'ingested', key, imageID: imageId, size });
  const { name, labels, dependencies } = parsed;
  const about = { source, digest: resolved.manifest.digest, latest: isLatest(reference), ...provenanceOf(verified) };
  const commit = {
    path,
    stamp,
    image: { imageId, name, labels, dependencies, size, ...about },
    manifest,
    remote: { url, record: recordOf(imageId, resolved.digest, nowMs()) },
  };
  return store.commit(commit).catch(async (error: unknown) => {
    await rm(path, { force: true });
    throw error;
  });
}

/** A conversion cannot be told to stop: what nobody waits for any more is removed when it is done. */
async function convert({ pool }: FetchContext, request: ConvertRequest, signal: AbortSignal): Promise<ConvertResponse> {
  const converting = pool.run('convert', request);
  try {
    return await abortable(converting, signal);
  } catch (error) {
    converting.then(() => rm(request.image, { force: true })).catch(() => undefined); // it has said so already
    throw signal.aborted ? error : notConvertible(error);
  }
}

function requestOf(
  { limits }: FetchContext,
  { wanted: { reference }, resolved }: Pull,
  { config, tars }: Unpacked,
  image: string,
): ConvertRequest {
  const { host, repository, tag } = reference;
  const { manifest, indexes, layers } = resolved;
  const [index] = indexes;
  return {
    layers: tars.map((tar, position) => ({ tar, digest: layers[position]?.digest ?? '' })),
    config: config.bytes,
    origin: {
      host,
      repository,
      ...(tag !== undefined && { tag }),
      configDigest: config.digest,
      manifestDigest: manifest.digest,
      ...(index && { indexDigest: index.digest }),
    },
    image,
    limits: ingestLimits(limits),
  };
}
