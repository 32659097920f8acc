import type { IngestResponse } from '../../../workers/ingest/requests.ts';
import { hasCode, type ImageError, isImageError } from '../../errors.ts';
import type { Freshness } from '../../http/contract.ts';
import { showUrl } from '../../image/show.ts';
import { ingestLimits, removeOutput } from '../../pool/pool.ts';
import { createObserver, type FetchContext, type Wanted } from '../context.ts';
import { createRanges } from '../ranges.ts';
import {
  getLateSignature,
  getSignature,
  isAbsent,
  showSignature,
  type SignatureAnswer,
  type SignatureSource,
} from '../signature.ts';
import { check, type Checked, type SignatureToCheck } from './admit.ts';
import { type ArchiveSink, openArchiveSink } from './sink.ts';

export type ReceiveRequest = {
  readonly key: string;
  readonly url: string;
  /** Where it is asked for, if not at its URL. */
  readonly from?: string;
  /** If undefined, the image is not verified. */
  readonly signature: SignatureSource | undefined;
  /** The validators of the stored image, which make the request conditional. */
  readonly known: { readonly etag?: string; readonly lastModified?: string } | undefined;
  readonly expected: Wanted;
};

export type Received =
  | { readonly kind: 'not-modified'; readonly freshness: Freshness }
  | {
      readonly kind: 'received';
      readonly checked: Checked;
      readonly bytesDownloaded: number;
      readonly freshness: Freshness;
      /** The downloaded archive. The caller discards it after the image is committed, or else closes it. */
      readonly download: Pick<ArchiveSink, 'discard' | 'close'>;
    };

/**
 * Downloads an archive, ingests it meanwhile, and checks it; the caller holds the claim of the URL. If a check fails and the bytes
 * are from more than one response, the archive is downloaded again from the start, once.
 *
 * @see docs/rules.md H4
 */
export async function receive(context: FetchContext, request: ReceiveRequest, signal: AbortSignal): Promise<Received> {
  const mixed = { value: false };
  try {
    return await attempt(context, request, mixed, signal);
  } catch (error) {
    if (!mixed.value || !isRefusal(error) || signal.aborted) throw error;
    const message = `the resumed download failed its checks (${error.code}); it is downloaded again from the start`;
    context.onEvent({ type: 'warning', key: request.key, message });
    return attempt(context, request, mixed, signal);
  }
}

async function attempt(
  context: FetchContext,
  request: ReceiveRequest,
  mixed: { value: boolean },
  signal: AbortSignal,
): Promise<Received> {
  const { store, pool, http, limits, onEvent } = context;
  const { key, url, from = url, known, expected } = request;
  const isAgain = mixed.value;
  const image = store.temporaryPath();
  const archive = context.keepArchives ? store.temporaryPath() : undefined;
  // for a conditional request, the signature is requested only if the server sends a body
  let signature = known ? undefined : await requestSignature(context, request, signal);
  const ingest = () => ({
    shown: showUrl(from),
    image,
    limits: ingestLimits(limits),
    ...(request.signature &&
      signature instanceof Uint8Array && {
        signature: { bytes: signature, location: showSignature(request.signature) },
      }),
  });
  const onDisk = known !== undefined || signature === 'later';
  const immutable = expected.held?.digest !== undefined; // any server has these bytes, or they are refused
  const { onDependencies } = context;
  const verify = async () =>
    request.signature && signature instanceof Uint8Array ? context.verifier?.trustBeforehand(expected.name) : undefined;
  const body = { onDisk, immutable, archive, onDependencies };
  const sink = await openArchiveSink({ store, pool, url, ingest, verify, ...body }, signal);
  const ingestFailure = new AbortController();
  sink.failed.catch((error: unknown) => ingestFailure.abort(error));
  let size: { readonly total?: number } = {};
  const either = AbortSignal.any([signal, ingestFailure.signal]);
  // once more from the start, it is to come in one response
  const ranges = isAgain ? undefined : createRanges(rangesOf(context, key, { url, from }), either);

  try {
    const downloaded = await http.download(
      {
        url: from,
        sink,
        ...(known && { known }),
        ...(ranges && { ahead: ranges }),
        immutable,
        observer: createObserver(context, key),
        onStart: async ({ total, resumedFrom, goesOn = false }) => {
          mixed.value = resumedFrom > 0;
          if (known) signature ??= await requestSignature(context, request, signal);
          size = total === undefined ? {} : { total };
          if (!goesOn) onEvent({ type: 'download-started', key, url: showUrl(from), resumedFrom, ...size });
        },
        onProgress: (bytes) => onEvent({ type: 'download-progress', key, bytes, ...size }),
      },
      either,
    );
    await ranges?.close('discard');
    if (downloaded.kind === 'not-modified') {
      await sink.close();
      return downloaded;
    }
    context.slot?.arrived();
    onEvent({ type: 'download-finished', key, url: showUrl(from), bytes: downloaded.bytes });
    const ingested = await sink.finish();
    const proof = await collectProof(context, request, signature, ingested, sink.path, signal);
    const checked = await check(context, { key, ingested, image, expected, proof });
    const { freshness, transferred } = downloaded;
    return { kind: 'received', checked, bytesDownloaded: transferred, freshness, download: sink };
  } catch (error) {
    await ranges?.close(isRefusal(error) ? 'discard' : 'keep');
    const ending = isRefusal(error) ? sink.discard() : sink.close();
    await ending.catch(() => undefined); // the first error is reported
    await removeOutput({ image, archive });
    throw error;
  }
}

function rangesOf(
  context: FetchContext,
  key: string,
  { url, from }: { readonly url: string; readonly from: string },
): Parameters<typeof createRanges>[0] {
  const { store, slots, http } = context;
  return {
    ...{ store, slots, key: url, host: new URL(from).host },
    download: (range, slot, signal) =>
      http.download({ url: from, ...range, observer: createObserver({ ...context, slot }, key) }, signal),
  };
}

/** Gets the signature before the image: the image is not downloaded if the signer is not trusted for the name. */
async function requestSignature(
  context: FetchContext,
  { key, url, from = url, signature: source, expected }: ReceiveRequest,
  signal: AbortSignal,
): Promise<SignatureAnswer | undefined> {
  if (!source) return undefined;
  const signature = await getSignature(context, key, source, signal).catch(async (error: unknown) => {
    if (hasCode(error, 'SIGNATURE_MISSING')) await requireImage(context, key, from, signal);
    throw error;
  });
  if (context.verifier && expected.name !== undefined && signature !== 'later') {
    const about = { name: expected.name, signature, location: showSignature(source) };
    await context.verifier.checkSigners(about);
  }
  return signature;
}

/** Reports a missing image rather than its missing signature. @throws HTTP_STATUS if the image is missing: 404 or 410 */
async function requireImage(context: FetchContext, key: string, url: string, signal: AbortSignal): Promise<void> {
  const limit = { name: 'archive', bytes: 0 };
  const request = {
    method: 'HEAD' as const,
    url,
    limit,
    statuses: [200],
    retries: 0,
    observer: createObserver(context, key),
  };
  await context.http.getDocument(request, signal).catch((error: unknown) => {
    if (isAbsent(error)) throw error;
  });
}

/** The input of the verification: the digests of the ingest, or the archive itself if the signature was not available before. */
async function collectProof(
  context: FetchContext,
  { key, signature: source }: ReceiveRequest,
  signature: SignatureAnswer | undefined,
  { signatureDigests }: IngestResponse,
  archive: string | undefined,
  signal: AbortSignal,
): Promise<SignatureToCheck | undefined> {
  if (!source || !signature) return undefined;
  const location = showSignature(source);
  if (signature !== 'later') return { signature, location, digests: signatureDigests };
  return {
    signature: await getLateSignature(context, key, source, signal),
    location,
    ...(archive !== undefined && { archive }),
  };
}

const refusals = /^(ARCHIVE|MANIFEST|NAME|LABEL|IMAGE_ID|DIGEST|SIZE|SIGNATURE|KEY|LIMIT|LOCK)_/;

/** Whether the content was refused: then it is not kept, since it would be refused again. */
export function isRefusal(error: unknown): error is ImageError {
  return isImageError(error) && refusals.test(error.code);
}
