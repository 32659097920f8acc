import { stat } from 'node:fs/promises';

import { ImageError } from '../../errors.ts';
import type { HttpDocument } from '../../http/contract.ts';
import { contentLength, mayBeSame } from '../../http/headers.ts';
import { signaturePath, signatureUrl } from '../../image/apps.ts';
import { checkExpected } from '../../image/expected.ts';
import type { FileReference, NameReference } from '../../image/reference.ts';
import { show, showUrl } from '../../image/show.ts';
import type { UrlReference } from '../../image/url.ts';
import { ingestLimits } from '../../pool/pool.ts';
import { createObserver, type FetchContext, type FetchRequest } from '../context.ts';
import type { Planned } from '../found.ts';
import {
  getSignature,
  isAbsent,
  showSignature,
  signatureMissing,
  type SignatureSource,
  signatureSource,
} from '../signature.ts';
import { firstEndpoint, resolveName, suggestionFor } from './by-name.ts';
import { findPinned, throwNotInStore } from './by-url.ts';
import type { RemoteRequest } from './remote.ts';
import { answerFromUrlCache, lookUpUrl, validators } from './url-cache.ts';

/** Plans the fetch of a file, which is read up to its manifest. */
export async function planByFile(
  context: FetchContext,
  { key, reference: { path }, signature: override }: FetchRequest<FileReference>,
  signal: AbortSignal,
): Promise<Planned> {
  const { slots, pool, limits, verifier } = context;
  const request = { path, shown: show(path), limits: ingestLimits(limits) };
  const { name, labels, dependencies } = await slots.run(undefined, signal, () => pool.run('inspectArchive', request));
  const leastBytes = (await stat(path).catch(() => undefined))?.size ?? 0;
  const signature = signatureSource(override, { kind: 'file', path: signaturePath(path) });
  if (verifier) await getSignature(context, key, signature, signal);
  return {
    status: 'absent',
    source: path,
    bytesToFetch: 0,
    archive: {
      leastBytes,
      isKnown: false,
      temporaryBytes: 0,
      isAlone: true,
      ...(context.keepArchives && { keptBytes: leastBytes }),
    },
    ...(verifier && { signature: showSignature(signature) }),
    manifest: { name, labels, dependencies },
  };
}

/** Plans the fetch of a name by the first endpoint that has it. */
export async function planByName(
  context: FetchContext,
  request: FetchRequest<NameReference>,
  signal: AbortSignal,
): Promise<Planned> {
  const { key, signature } = request;
  const resolved = await resolveName(context, request, signal);
  if (resolved.kind === 'stored') return { status: 'present', image: resolved.image };
  const { wanted: expected } = resolved;
  return firstEndpoint(
    context,
    { key, expected, signature, didYouMean: suggestionFor(request) },
    (url, source) => planRemote(context, { key, url, signature: source, expected }, signal),
    signal,
  );
}

export async function planByUrl(
  context: FetchContext,
  { key, reference: { url }, signature, pin = {} }: FetchRequest<UrlReference>,
  signal: AbortSignal,
): Promise<Planned> {
  const pinned = await findPinned(context, pin, signal);
  if (pinned) return { status: 'present', image: pinned };
  const source = signatureSource(signature, { kind: 'url', url: signatureUrl(url) });
  return (await planRemote(context, { key, url, signature: source, expected: pin }, signal)) ?? throwNotInStore(url);
}

/** Statuses of servers without HEAD: nothing is known of the resource then, not even that it is missing. */
const headUnsupported = [405, 501];

/**
 * Plans the fetch of a URL by the answer to HEAD.
 *
 * @returns undefined if the store does not have the image and the policy does not allow the network.
 */
async function planRemote(
  context: FetchContext,
  remote: Omit<RemoteRequest, 'latest'>,
  signal: AbortSignal,
): Promise<Planned | undefined> {
  const { url } = remote;
  const request = { ...remote, sinceMs: context.nowMs() };
  const stored = await answerFromUrlCache(context, request, signal);
  if (stored) return { status: 'present', image: stored.image };
  if (context.policy === 'never') return undefined;
  return context.slots.run(new URL(url).host, signal, async (slot) => {
    const inSlot = { ...context, slot };
    const known = await lookUpUrl(inSlot, request, signal);
    const { etag, lastModified } = (known && validators(known.record)) ?? {};
    const conditions = {
      ...(etag !== undefined && { 'if-none-match': etag }),
      ...(lastModified !== undefined && { 'if-modified-since': lastModified }),
    };
    const head = await getHead(inSlot, { key: request.key, url, conditions }, signal);
    if (known && head.status === 304) {
      checkExpected(known.image, request.expected);
      return { status: 'present', image: known.image };
    }
    const signature = await findSignature(inSlot, request, signal);
    const bytesToFetch = await missingBytes(inSlot, url, head);
    const pinned = remote.expected.size;
    const total = head.status === 200 ? contentLength(head.headers) : undefined;
    const size = { leastBytes: pinned ?? total ?? 0, isKnown: pinned !== undefined };
    const packed = bytesToFetch ?? 0;
    const place = context.keepArchives ? { temporaryBytes: 0, keptBytes: packed } : { temporaryBytes: packed };
    const archive = { ...size, ...place, isAlone: true };
    const about = { url, source: showUrl(url), bytesToFetch, archive };
    return { status: 'absent', ...about, ...(signature !== undefined && { signature }) };
  });
}

type HeadRequest = { readonly key: string; readonly url: string; readonly conditions: Record<string, string> };

function getHead(
  context: FetchContext,
  { key, url, conditions }: HeadRequest,
  signal: AbortSignal,
): Promise<HttpDocument> {
  const isConditional = Object.keys(conditions).length > 0;
  return context.http.getDocument(
    {
      method: 'HEAD',
      url,
      headers: conditions,
      limit: { name: 'archive', bytes: 0 },
      statuses: [200, ...(isConditional ? [304] : []), ...headUnsupported],
      observer: createObserver(context, key),
    },
    signal,
  );
}

/** The bytes to download; those of a partial download of the same version are subtracted. @see docs/rules.md H4 */
async function missingBytes(
  { store, limits }: FetchContext,
  url: string,
  { status, headers }: HttpDocument,
): Promise<number | undefined> {
  const total = status === 200 ? contentLength(headers) : undefined;
  if (total === undefined) return undefined;
  if (total > limits.archive) {
    const details = { limit: 'archive', maximum: limits.archive };
    throw new ImageError('LIMIT_EXCEEDED', `the image has ${total} bytes, more than ${limits.archive}`, details);
  }
  const partial = await store.peekPartial(url);
  if (!partial?.validator || !mayBeSame(partial.validator, headers)) return total;
  return partial.total === undefined || partial.total === total ? Math.max(0, total - partial.bytes) : total;
}

/** @returns the URL or path of the signature; undefined if nothing is verified. @throws SIGNATURE_MISSING */
async function findSignature(
  context: FetchContext,
  { key, signature: source }: Pick<RemoteRequest, 'key' | 'signature'>,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (!context.verifier) return undefined;
  if (source.kind === 'file') await getSignature(context, key, source, signal);
  else await headSignature(context, key, source, signal);
  return showSignature(source);
}

async function headSignature(
  context: FetchContext,
  key: string,
  source: SignatureSource & { readonly kind: 'url' },
  signal: AbortSignal,
): Promise<void> {
  const limit = { name: 'signature', bytes: 0 };
  const statuses = [200, 202, ...headUnsupported];
  const request = { method: 'HEAD' as const, url: source.url, limit, statuses, observer: createObserver(context, key) };
  await context.http.getDocument(request, signal).catch((error: unknown) => {
    if (!isAbsent(error)) throw error;
    throw signatureMissing(source, error, 'there is no signature beside the image');
  });
}
