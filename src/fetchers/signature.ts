import { setTimeout as sleep } from 'node:timers/promises';

import { hasCode, ImageError } from '../errors.ts';
import { show, showUrl } from '../image/show.ts';
import { isNoEntry, whyFailed } from '../system/errno.ts';
import { readFound, readNamed } from '../system/files.ts';
import { createObserver, type FetchContext } from './context.ts';

/** The place of a detached signature. A file that the user named may be a pipe; any other must be a regular file. */
export type SignatureSource =
  | { readonly kind: 'file'; readonly path: string; readonly isNamed?: boolean }
  | { readonly kind: 'url'; readonly url: string };

/** The signature that the user named, or else the one beside the image. */
export function signatureSource(named: string | undefined, beside: SignatureSource): SignatureSource {
  return named === undefined ? beside : { kind: 'file', path: named, isNamed: true };
}

/** `later`: the server sends the signature only after the image has been fetched. @see docs/rules.md H5 */
export type SignatureAnswer = Uint8Array | 'later';

/** The pauses before a signature is requested again, in milliseconds. */
const laterMs = [1_000, 2_000, 4_000];

export function showSignature(source: SignatureSource): string {
  return source.kind === 'file' ? show(source.path) : showUrl(source.url);
}

/** @throws SIGNATURE_MISSING, LIMIT_EXCEEDED, FILE_UNREADABLE, or network errors. */
export async function getSignature(
  context: FetchContext,
  key: string,
  source: SignatureSource,
  signal: AbortSignal,
): Promise<SignatureAnswer> {
  if (source.kind === 'file') return readSignature(source, context.limits.signature);
  try {
    const { status, body } = await context.http.getDocument(
      {
        url: source.url,
        limit: { name: 'signature', bytes: context.limits.signature },
        statuses: [200, 202],
        observer: createObserver(context, key),
      },
      signal,
    );
    return status === 202 ? 'later' : body;
  } catch (error) {
    if (isAbsent(error)) throw signatureMissing(source, error, 'there is no signature beside the image');
    if (!hasCode(error, 'HTTP_STATUS')) throw error;
    const message = `the signature ${showUrl(source.url)}: ${error.message}`;
    throw new ImageError('HTTP_STATUS', message, error.details, { cause: error });
  }
}

/** Requests a signature again, after the image has been fetched. */
export async function getLateSignature(
  context: FetchContext,
  key: string,
  source: SignatureSource,
  signal: AbortSignal,
): Promise<Uint8Array> {
  for (const delayMs of laterMs) {
    context.onEvent({ type: 'waiting', key, reason: 'the server does not send the signature yet' });
    const wait = (): Promise<void> => sleep(delayMs, undefined, { signal });
    await (context.slot?.pause(wait) ?? wait());
    const answer = await getSignature(context, key, source, signal);
    if (answer !== 'later') return answer;
  }
  const url = showSignature(source);
  const cause = new ImageError('HTTP_STATUS', 'the server answered 202', { url, status: 202 }); // another endpoint may have it
  throw signatureMissing(source, cause, 'the server still does not send the signature');
}

async function readSignature(
  { path, isNamed = false }: Extract<SignatureSource, { readonly kind: 'file' }>,
  limit: number,
): Promise<Uint8Array> {
  try {
    const bytes = await (isNamed ? readNamed(path, limit) : readFound(path, limit));
    if (bytes.length <= limit) return bytes;
    const details = { limit: 'signature', maximum: limit };
    throw new ImageError('LIMIT_EXCEEDED', `the signature has more than ${limit} bytes`, details);
  } catch (error) {
    if (error instanceof ImageError) throw error;
    if (isNoEntry(error))
      throw signatureMissing({ kind: 'file', path }, error, 'there is no signature beside the image');
    const message = `the signature ${show(path)} can't be read: ${show(whyFailed(error))}`;
    throw new ImageError('FILE_UNREADABLE', message, { path }, { cause: error });
  }
}

export function signatureMissing(source: SignatureSource, cause: unknown, what: string): ImageError {
  const location = showSignature(source);
  return new ImageError('SIGNATURE_MISSING', `${what}: ${location}`, { location }, { cause });
}

export function isAbsent(error: unknown): boolean {
  return hasCode(error, 'HTTP_STATUS') && (error.details.status === 404 || error.details.status === 410);
}
