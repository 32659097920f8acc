import { fromErrorData, hasCode, ImageError, isImageError, toErrorData } from '../errors.ts';
import type { HttpDocument, HttpObserver } from '../http/contract.ts';
import { headerOf } from '../http/headers.ts';
import type { Digest } from '../image/digest.ts';
import { maxReferrerDepth } from '../image/limits.ts';
import { indexTypes } from '../image/platform.ts';
import type { RegistryReference } from '../image/registry-reference.ts';
import { show, showUrl } from '../image/show.ts';
import { sideBySide } from '../system/single-flight.ts';
import type { RegistryClient } from './client.ts';
import { type DigestPointer, type DocumentPointer, getManifest, type ParsedDocument } from './documents.ts';
import { parseAnyManifest } from './manifest.ts';
import type { GetDocument } from './resolve.ts';
import { type DocumentTree, resolveTree } from './resolve-whole.ts';
import type { IndexEntry } from './types.ts';

/** A manifest that is attached to another one. */
type AttachedManifest = {
  readonly document: ParsedDocument;
  /** What it is attached to. */
  readonly subject: Digest;
  /** The tag by which it is found, if it is not found by its subject. */
  readonly tag?: string;
};

/** What is attached to documents, with everything that it leads to. */
export type Attached = DocumentTree & { readonly roots: readonly AttachedManifest[] };

/** The most that may be attached to one image, and the most pages of a list. */
const maxAttached = 256;
const maxPages = 16;

/** How cosign tags what it attaches, and how clients list it where the registry does not. */
const suffixes = ['.sig', '.att', '.sbom'];

export type ReferrersContext = {
  readonly client: RegistryClient;
  readonly where: RegistryReference;
  /** Called for each document; default: asks the registry. */
  readonly get: GetDocument;
  /** Asks the registry for what is no document. */
  readonly ask: <T>(work: (observer: HttpObserver) => Promise<T>) => Promise<T>;
};

/**
 * Finds what is attached to documents: by the referrers API, or its tag where a registry does not have that, and by the tags of cosign.
 * What is attached to that in turn, such as the signature of a list of parts, comes along as well; what a tag of cosign's signatures names
 * is not signed itself, and not asked about.
 *
 * @throws ImageError LIMIT_EXCEEDED, MANIFEST_INVALID for a list that cannot be read, and as getManifest
 * @see OCI distribution-spec, Listing Referrers and Referrers Tag Schema; cosign, SPEC.md
 */
export async function findAttached(
  context: ReferrersContext,
  subjects: readonly Digest[],
  signal: AbortSignal,
): Promise<Attached> {
  const roots: AttachedManifest[] = [];
  const asked = new Set(subjects);
  let next: readonly Digest[] = [...asked];
  for (let depth = 1; next.length > 0 && depth <= maxReferrerDepth; depth += 1) {
    const lists = await sideBySide(next, (subject, either) => attachedTo(context, subject, either), signal);
    const found = lists.flat();
    roots.push(...found);
    if (roots.length > maxAttached) throw tooMany();
    next = found.filter(mayHaveAttached).flatMap(({ document: { digest } }) => (asked.has(digest) ? [] : digest));
    for (const digest of (next = [...new Set(next)])) asked.add(digest);
  }
  const { client, where, get } = context;
  const tree = await resolveTree(client, where, { roots: roots.map(({ document }) => document), get }, signal);
  return { ...tree, roots };
}

/** Neither a list of what is attached, nor a signature. */
function mayHaveAttached({ document, tag = '' }: AttachedManifest): boolean {
  return document.content.kind !== 'index' && !tag.endsWith('.sig');
}

async function attachedTo(
  context: ReferrersContext,
  subject: Digest,
  signal: AbortSignal,
): Promise<readonly AttachedManifest[]> {
  const base = subject.replace(':', '-');
  const searches = [undefined, ...suffixes]; // the list, and each tag of cosign
  const search = async (suffix: string | undefined, either: AbortSignal): Promise<readonly AttachedManifest[]> => {
    if (suffix === undefined) return listedFor(context, { subject, tag: base }, either);
    const tag = base + suffix;
    const document = await getIfThere(context, { tag, kinds: 'any' }, either);
    return document ? [{ document, subject, tag }] : [];
  };
  return (await sideBySide(searches, search, signal)).flat();
}

/** What a registry lists; if it has no lists, what the index under the tag names, and that index itself. */
async function listedFor(
  context: ReferrersContext,
  { subject, tag }: { readonly subject: Digest; readonly tag: string },
  signal: AbortSignal,
): Promise<readonly AttachedManifest[]> {
  const entries = await listFromApi(context, subject, signal);
  if (entries) return (await getListed(context, subject, entries, signal)).found;
  const list = await getIfThere(context, { tag, kinds: 'any' }, signal);
  if (list?.content.kind !== 'index') return [];
  const { found, isWhole } = await getListed(context, subject, list.content.entries, signal);
  return isWhole ? [...found, { document: list, subject, tag }] : found;
}

/** @returns what is there and is attached indeed; `isWhole`: that is all. */
async function getListed(
  context: ReferrersContext,
  subject: Digest,
  entries: readonly DigestPointer[],
  signal: AbortSignal,
): Promise<{ readonly found: readonly AttachedManifest[]; readonly isWhole: boolean }> {
  if (entries.length > maxAttached) throw tooMany();
  const { client, where } = context;
  const unique = [...new Map(entries.map((entry) => [entry.digest, entry])).values()];
  const bring = async (entry: DigestPointer, either: AbortSignal): Promise<readonly AttachedManifest[]> => {
    const document = await getIfThere(context, { ...entry, kinds: 'any' }, either);
    if (document && isAttachedTo(document, subject)) return [{ document, subject }];
    const fault = document ? 'it is not' : 'does not have it';
    client.options.onWarning(`${where.host} lists ${entry.digest} as attached to ${subject}, but ${fault}`);
    return [];
  };
  const found = await sideBySide(unique, bring, signal);
  return { found: found.flat(), isWhole: found.every(({ length }) => length === 1) };
}

function isAttachedTo({ content }: ParsedDocument, subject: Digest): boolean {
  return content.kind !== 'manifest' && content.subject === subject;
}

/** A document; undefined if the registry does not have it. */
export async function getIfThere(
  { client, where, get }: Pick<ReferrersContext, 'client' | 'where' | 'get'>,
  pointer: DocumentPointer,
  signal: AbortSignal,
): Promise<ParsedDocument | undefined> {
  try {
    return await get(pointer, (observer) => getManifest(client, where, pointer, observer, signal));
  } catch (error) {
    if (hasCode(error, 'HTTP_STATUS') && error.details.status === 404) return undefined;
    throw error;
  }
}

/** Statuses by which registries without the API answer. */
const absent = [400, 404, 405, 406, 415, 501];

/** All pages of the list of the registry; undefined if it has no such lists. */
async function listFromApi(
  context: ReferrersContext,
  subject: Digest,
  signal: AbortSignal,
): Promise<readonly DigestPointer[] | undefined> {
  const found: DigestPointer[] = [];
  for await (const entries of referrerPages(context, subject, signal)) {
    if (!entries) return undefined;
    found.push(...entries.map(({ digest, size, mediaType }) => ({ digest, size, mediaType })));
    if (found.length > maxAttached) throw tooMany();
  }
  return found;
}

/**
 * The list of a registry, page by page. The first one is undefined if it has no such lists.
 *
 * @throws ImageError LIMIT_EXCEEDED for too many pages, MANIFEST_INVALID
 */
export async function* referrerPages(
  { client, where, ask }: ReferrersContext,
  subject: Digest,
  signal: AbortSignal,
): AsyncGenerator<readonly IndexEntry[] | undefined> {
  const { limits } = client.options;
  const { host, repository, digest } = where;
  let query = '';
  for (let page = 1; ; page += 1) {
    const path = `referrers/${subject}${query}`;
    const request = {
      limit: { name: 'registryManifest', bytes: limits.registryManifest },
      statuses: [200, ...(page === 1 ? absent : [])],
      decodes: true,
      headers: { accept: indexTypes[0] ?? '' },
    };
    const target = { host, repository, ...(digest !== undefined && { digest }), path, namedBy: 'tag' as const };
    const read = (observer: HttpObserver) =>
      client.getDocument(target, { ...request, observer }, (answer) => readPage(answer, limits.layers, path), signal);
    const list = await ask(read);
    yield list?.entries;
    if (list?.next === undefined) return;
    if (page >= maxPages) throw tooMany();
    query = list.next;
  }
}

type Page = { readonly entries: readonly IndexEntry[]; readonly next: string | undefined };

/** @returns undefined if the answer is no list. */
function readPage({ status, headers, body, url }: HttpDocument, maxLayers: number, path: string): Page | undefined {
  const type = headerOf(headers, 'content-type') ?? '';
  if (status !== 200 || !indexTypes.some((known) => type.startsWith(known))) return undefined;
  const content = parseListed(body, type, maxLayers, url);
  if (content.kind !== 'index') return undefined;
  return { entries: content.entries, next: nextPage(headerOf(headers, 'link'), url, path) };
}

function parseListed(
  body: Uint8Array,
  type: string,
  maxLayers: number,
  url: string,
): ReturnType<typeof parseAnyManifest> {
  try {
    return parseAnyManifest(body, type, maxLayers);
  } catch (error) {
    throw withPlace(error, `the list ${showUrl(url)}`);
  }
}

/** What is wrong with what is attached names its place: else it would seem to be about the image itself. Other errors are as they were. */
export function withPlace(error: unknown, place: string): unknown {
  return isUnfit(error) ? fromErrorData({ ...toErrorData(error), message: `${error.message} (${place})` }) : error;
}

/** Whether it is the fault of what was brought. */
export function isUnfit(error: unknown): error is ImageError {
  return isImageError(error) && /^(?:LIMIT|MANIFEST|DIGEST|SIZE)_/.test(error.code);
}

/**
 * The query of the next page, which must be one of the same list: the rest of its URL is not used. A registry behind a proxy may say http
 * for itself, or a port of its own.
 *
 * @see RFC 8288
 */
export function nextPage(link: string | undefined, url: string, path: string): string | undefined {
  const [, target] = /<([^<>]*)>\s*;[^<]*\brel="?next"?/i.exec(link ?? '') ?? [];
  if (target === undefined) return undefined;
  const next = URL.parse(target, url);
  const [list = ''] = path.split('?');
  if (next?.hostname === new URL(url).hostname && next.pathname.replace(/%3a/gi, ':').endsWith(`/${list}`))
    return next.search;
  const message = `the next page of a list is said to be elsewhere: ${show(target)}`;
  throw new ImageError('MANIFEST_INVALID', message, { field: 'Link' });
}

function tooMany(): ImageError<'LIMIT_EXCEEDED'> {
  const details = { limit: 'referrers', maximum: maxAttached };
  return new ImageError('LIMIT_EXCEEDED', `more than ${maxAttached} manifests are attached to it`, details);
}
