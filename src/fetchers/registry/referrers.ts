import type { HttpObserver } from '../../http/contract.ts';
import type { Digest } from '../../image/digest.ts';
import { showUrl } from '../../image/show.ts';
import { manifestTarget } from '../../registry/documents.ts';
import { type Attached, findAttached } from '../../registry/referrers.ts';
import type { ResolvedImage } from '../../registry/resolve.ts';
import type { WholeIndex } from '../../registry/resolve-whole.ts';
import { createObserver, type FetchContext } from '../context.ts';
import { fetchBlobs, transferProgress } from './blobs.ts';
import type { FetchedReferrers, Pull } from './image.ts';
import { describe } from './keep.ts';
import { firstUrl, readKnown } from './resolution.ts';

type FoundReferrers = { readonly attached: Attached; readonly bytesDownloaded: number };

/** Finds what is attached to an image, if that is asked for: to what its reference stands for, and to each manifest that is kept. */
export async function findReferrers(
  context: FetchContext,
  { client, resolved, wanted }: Pick<Pull<ResolvedImage | WholeIndex>, 'client' | 'resolved' | 'wanted'>,
  signal: AbortSignal,
): Promise<FoundReferrers | undefined> {
  const { slots, registries } = context;
  if (!registries.referrers) return undefined;
  const { key, reference: where } = wanted;
  const ask = <T>(work: (observer: HttpObserver) => Promise<T>): Promise<T> =>
    slots.run(where.host, signal, (slot) => work(createObserver({ ...context, slot }, key)));
  let bytesDownloaded = 0;
  const attached = await findAttached(
    {
      client,
      where,
      ask,
      async get(pointer, request) {
        const url = firstUrl(client.placesOf(manifestTarget(where, pointer))) ?? '';
        const known = 'digest' in pointer ? await readKnown(context, pointer, showUrl(url)) : undefined;
        if (known) return known;
        const document = await ask(request);
        bytesDownloaded += document.bytes.byteLength;
        return document;
      },
    },
    subjectsOf(resolved),
    signal,
  );
  return { attached, bytesDownloaded };
}

/**
 * Fetches what findReferrers finds.
 *
 * @throws as findAttached and fetchBlob
 */
export async function fetchReferrers(
  context: FetchContext,
  pull: Pull<ResolvedImage | WholeIndex>,
  signal: AbortSignal,
): Promise<FetchedReferrers | undefined> {
  const found = await findReferrers(context, pull, signal);
  if (!found) return undefined;
  const { attached, bytesDownloaded } = found;
  const { blobs, documents, roots } = attached;
  const progress = transferProgress({ onEvent: () => undefined }, pull); // the download of the image was reported as a whole
  await fetchBlobs(context, { pull, blobs, progress }, signal);
  return {
    referrers: roots.map(({ document, subject, tag }) => ({
      ...describe(document),
      artifactType: document.content.kind === 'any' ? document.content.artifactType : '',
      subject,
      ...(tag !== undefined && { tag }),
    })),
    documents,
    blobs: new Map(blobs.map(({ digest, size }) => [digest, size])),
    bytesDownloaded: bytesDownloaded + progress.bytes,
  };
}

function subjectsOf(resolved: ResolvedImage | WholeIndex): readonly Digest[] {
  const documents = 'documents' in resolved ? resolved.documents : [resolved.manifest];
  return [...new Set([resolved.digest, ...documents.map(({ digest }) => digest)])];
}
