import { hasCode, ImageError } from '../errors.ts';
import type { HttpDocument } from '../http/contract.ts';
import { contentLength, headerOf, strongValidator } from '../http/headers.ts';
import { bodyOf } from '../http/request-body.ts';
import { type Digest, isDigest } from '../image/digest.ts';
import { defaultLimits } from '../image/limits.ts';
import { indexTypes } from '../image/platform.ts';
import { show, showUrl } from '../image/show.ts';
import { parseExactUrl } from '../image/url.ts';
import { digestOf, sizeMismatch } from '../registry/download-blob.ts';
import { acceptedTypes } from '../registry/media-types.ts';
import { explainRefusal } from '../registry/token.ts';
import type { StoredBlob } from '../store/registry-store.ts';
import type { PushContext, PushRepository, PushStep } from './context.ts';
import type { PlannedDocument } from './plan.ts';

type Context = Pick<PushContext, 'client'>;

const answerLimit = { name: 'registryManifest', bytes: defaultLimits.registryManifest };
/** Writes are not repeated at another host: the registry names that in a Location, where it wants them. */
export const writeOptions = { limit: answerLimit, redirects: 'same-origin' } as const;

/** The statuses of answers to HEAD; by the last two a registry says that it does not know that. */
const headStatuses: readonly number[] = [200, 404, 405, 501];

/** Whether a repository has a blob. @throws SIZE_MISMATCH if it has something else under its digest */
export async function hasBlob(
  { client }: Context,
  { place, observer }: PushStep,
  { digest, size }: StoredBlob,
  signal: AbortSignal,
): Promise<boolean> {
  const request = { method: 'HEAD', limit: answerLimit, statuses: headStatuses, observer } as const;
  const { status, headers } = await client.send({ ...place, path: `blobs/${digest}` }, request, signal);
  if (status !== 200) return false;
  const length = contentLength(headers);
  if (length !== undefined && length !== size) throw sizeMismatch(size, length);
  return true;
}

/** The digest of a manifest of a repository; undefined if it has none of that name. @param name - a tag or a digest. */
export async function findManifest(
  { client }: Context,
  { place, observer }: PushStep,
  name: string,
  signal: AbortSignal,
): Promise<Digest | undefined> {
  const request = { limit: answerLimit, headers: { accept: acceptedTypes }, observer };
  const target = { ...place, path: `manifests/${name}` };
  const found = await client.send(target, { ...request, method: 'HEAD', statuses: headStatuses }, signal);
  if (found.status === 404) return undefined;
  const named = found.status === 200 ? digestHeader(found.headers) : undefined;
  if (named !== undefined) return named;
  const { status, body } = await client.send(target, { ...request, statuses: [200, 404] }, signal);
  return status === 200 ? digestOf(body) : undefined;
}

/**
 * Whether a registry lists by itself what is attached to manifests. Whatever it answers that is no list counts as no: some refuse what
 * they do not know as if it were forbidden, or fail over it.
 */
export async function listsReferrers(
  { client }: Context,
  { place, observer }: PushStep,
  subject: Digest,
  signal: AbortSignal,
): Promise<boolean> {
  const [type = ''] = indexTypes;
  const request = { limit: answerLimit, statuses: [200], headers: { accept: type }, observer };
  try {
    const { headers } = await client.send({ ...place, path: `referrers/${subject}` }, request, signal);
    return (headerOf(headers, 'content-type') ?? '').startsWith(type);
  } catch (error) {
    if (hasCode(error, 'HTTP_STATUS') || hasCode(error, 'AUTH_DENIED') || hasCode(error, 'AUTH_REQUIRED')) return false;
    throw error;
  }
}

/** What is found by a tag: a list of what is attached to a manifest, or something else. */
export type StoredList = { readonly bytes: Uint8Array; readonly etag: string | undefined };

/** @returns undefined if there is nothing of that tag. */
export async function getList(
  { client }: Context,
  { place, observer }: PushStep,
  tag: string,
  signal: AbortSignal,
): Promise<StoredList | undefined> {
  const request = { limit: answerLimit, statuses: [200, 404], headers: { accept: acceptedTypes }, observer };
  const { status, headers, body } = await client.send({ ...place, path: `manifests/${tag}` }, request, signal);
  if (status === 404) return undefined;
  const validator = strongValidator(headers);
  return { bytes: body, etag: validator?.kind === 'etag' ? validator.value : undefined };
}

/** An upload session, by the URL that the next request of it goes to. */
export type UploadSession = { readonly url: string };

/** Begins an upload. @throws PUSH_REFUSED, HTTP_STATUS, RESPONSE_INVALID, REDIRECT_REFUSED */
export async function beginUpload(
  { client }: Context,
  { place, observer }: PushStep,
  signal: AbortSignal,
): Promise<UploadSession> {
  const request = { ...writeOptions, method: 'POST', statuses: [202, ...explained], observer, isPart: true } as const;
  const answer = await sendExplained(client.send({ ...place, path: 'blobs/uploads/' }, request, signal), place);
  if (answer.status !== 202) throw refusedError(answer, place, 'the upload of a blob');
  return sessionOf(answer);
}

/**
 * Asks for a blob that another repository has.
 *
 * @returns true if it is mounted; an upload that was begun instead; false if the credentials do not allow it; undefined if the
 * registry does not know such requests, or fails over them.
 */
export async function mountBlob(
  { client }: Context,
  { place, observer }: PushStep,
  { digest }: StoredBlob,
  from: string,
  signal: AbortSignal,
): Promise<boolean | UploadSession | undefined> {
  const query = new URLSearchParams({ mount: digest, from });
  const request = { ...writeOptions, method: 'POST', statuses: [201, 202, ...explained], observer } as const;
  try {
    const answer = await client.send({ ...place, path: `blobs/uploads/?${query.toString()}`, from }, request, signal);
    if (answer.status === 201) return true;
    return answer.status === 202 ? sessionOf(answer) : undefined;
  } catch (error) {
    // it may be pushed all the same
    if (hasCode(error, 'AUTH_DENIED') || hasCode(error, 'AUTH_REQUIRED')) return false;
    if (hasCode(error, 'HTTP_STATUS')) return undefined;
    throw error;
  }
}

/**
 * Puts a manifest or an index, and checks what the registry says that it has stored.
 *
 * @param name - a tag, or the digest of the document.
 * @param condition - headers, by which a registry that knows them answers 412 if something else has come meanwhile.
 * @throws PUSH_REFUSED, DIGEST_MISMATCH
 */
export async function putManifest(
  context: Context,
  step: PushStep,
  { digest, mediaType, bytes }: Pick<PlannedDocument, 'digest' | 'mediaType' | 'bytes'>,
  name: string,
  signal: AbortSignal,
  condition: Readonly<Record<string, string>> = {},
): Promise<void> {
  const { place, observer } = step;
  const request = {
    ...writeOptions,
    method: 'PUT',
    statuses: [200, 201, 202, ...explained],
    headers: { 'content-type': mediaType, ...condition },
    body: bodyOf(bytes),
    observer,
  } as const;
  const sending = context.client.send({ ...place, path: `manifests/${name}` }, request, signal);
  const answer = await sendExplained(sending, place);
  if (explained.includes(answer.status)) throw refusedManifest(answer, place, mediaType);
  const stored = digestHeader(answer.headers) ?? (await findManifest(context, step, name, signal));
  if (stored !== digest) throw storedOther(digest, stored);
}

/** Checks what the registry says that it has stored of a blob. @throws DIGEST_MISMATCH, SIZE_MISMATCH */
export async function checkStored(
  context: Context,
  step: PushStep,
  { answer, blob }: { readonly answer: HttpDocument; readonly blob: StoredBlob },
  signal: AbortSignal,
): Promise<void> {
  const named = digestHeader(answer.headers);
  if (named !== undefined && named !== blob.digest) throw storedOther(blob.digest, named);
  if (named === undefined && !(await hasBlob(context, step, blob, signal))) throw storedOther(blob.digest, undefined);
}

function storedOther(asked: Digest, found: Digest | undefined): ImageError {
  if (found !== undefined) {
    const message = `the registry has stored something with the digest ${found} instead of ${asked}`;
    return new ImageError('DIGEST_MISMATCH', message, { asked, found });
  }
  const message = `the registry has accepted ${asked}, but does not have it`;
  return new ImageError('DIGEST_MISMATCH', message, { asked, found: '' });
}

function digestHeader(headers: HttpDocument['headers']): Digest | undefined {
  const text = headerOf(headers, 'docker-content-digest');
  return text !== undefined && isDigest(text) ? text : undefined;
}

/**
 * The upload that an answer names. A registry behind a proxy may say http for itself although it is asked over https.
 *
 * @throws RESPONSE_INVALID, REDIRECT_REFUSED
 */
export function sessionOf({ url: asked, headers }: HttpDocument): UploadSession {
  const location = headerOf(headers, 'location');
  const parsed = location === undefined ? undefined : parseExactUrl(location, asked);
  if (!parsed) {
    const message = 'the registry does not say where a blob is uploaded to';
    throw new ImageError('RESPONSE_INVALID', message, { url: showUrl(asked) });
  }
  const { url, href } = parsed;
  const from = new URL(asked);
  const refuse = (why: string) =>
    new ImageError('REDIRECT_REFUSED', `an upload is sent to ${why}`, { from: showUrl(asked), to: showUrl(href) });
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw refuse(show(url.protocol));
  if (url.username !== '' || url.password !== '') throw refuse('a URL with a user or a password in it');
  if (from.protocol === 'http:' || url.protocol === 'https:') return { url: href };
  if (url.hostname === from.hostname && (url.port === from.port || url.port === ''))
    return { url: `${from.origin}${href.slice(href.indexOf('/', 'http://'.length))}` };
  throw refuse('http, although the registry is asked over https');
}

/** Statuses of refusals whose body says why. */
export const explained: readonly number[] = [400, 404, 405, 409, 410, 412, 413, 415, 416, 422, 501, 507];

const quotaWords = /quota|storage limit|insufficient storage|no space|exceed/i;
const tagWords = /immutab|overw(?:rite|ritten)|already exists|TAG_INVALID|AlreadyExists/i;

/** What is sent; a refusal for want of room is not one of the credentials. */
export async function sendExplained(sending: Promise<HttpDocument>, place: PushRepository): Promise<HttpDocument> {
  try {
    return await sending;
  } catch (error) {
    if (!hasCode(error, 'AUTH_DENIED') && !hasCode(error, 'AUTH_REQUIRED')) throw error;
    const reason = quotaWords.test(error.message) ? 'quota' : tagWords.test(error.message) ? 'tag' : undefined;
    if (reason) throw pushRefused(place, 403, reason, error.message, error);
    throw error;
  }
}

/** The error for an answer that refuses something. @param what - in words: `the upload of a blob` */
export function refusedError(answer: HttpDocument, place: PushRepository, what: string): ImageError {
  const { status, url } = answer;
  const said = explainRefusal(answer);
  const why = said === undefined ? `${status}` : `${status}: ${said}`;
  const message = `the registry refuses ${what}: ${why}`;
  if (status === 413) return pushRefused(place, status, 'size', message);
  if (status === 507 || quotaWords.test(said ?? '')) return pushRefused(place, status, 'quota', message);
  return new ImageError('HTTP_STATUS', message, { url: showUrl(url), status });
}

function refusedManifest(answer: HttpDocument, place: PushRepository, mediaType: string): ImageError {
  const { status } = answer;
  const said = explainRefusal(answer) ?? '';
  const why = said === '' ? `${status}` : `${status}: ${said}`;
  if (tagWords.test(said)) {
    const message = `the registry does not let the tag be moved: ${why}`;
    return pushRefused(place, status, 'tag', message);
  }
  const isFull = status === 413 || status === 507 || quotaWords.test(said);
  if (!isFull && (status === 415 || /MANIFEST_INVALID|UNSUPPORTED|media ?type/i.test(said))) {
    const kind = mediaType.includes('.oci.') ? 'OCI manifests' : 'manifests of this type';
    const message = `the registry does not take ${kind} (${show(mediaType)}): ${why}`;
    return pushRefused(place, status, 'type', message);
  }
  return refusedError(answer, place, 'the manifest');
}

function pushRefused(
  { host, repository }: PushRepository,
  status: number,
  reason: 'type' | 'tag' | 'size' | 'quota',
  message: string,
  cause?: unknown,
): ImageError<'PUSH_REFUSED'> {
  return new ImageError('PUSH_REFUSED', message, { host, repository, status, reason }, { cause });
}
