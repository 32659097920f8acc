import { hasCode, ImageError } from '../errors.ts';
import type { DocumentRequest, HttpDocument, HttpObserver } from '../http/contract.ts';
import { headerOf } from '../http/headers.ts';
import { type Digest, isDigest } from '../image/digest.ts';
import type { Limits } from '../image/limits.ts';
import { showUrl } from '../image/show.ts';
import type { AnsweredBy, RegistryClient, RegistryTarget } from './client.ts';
import { checkDigest, digestOf, sizeMismatch } from './download-blob.ts';
import { parseAnyManifest, parseRegistryManifest } from './manifest.ts';
import { acceptedTypes, anyAcceptedTypes } from './media-types.ts';
import type { AnyManifest, Descriptor, ImageIndex, RegistryDocument, RegistryManifest, Repository } from './types.ts';

/** Identifies a document: by tag, by digest, or by a descriptor, which has its size and type too. */
export type DocumentPointer = ({ readonly tag: string } & Kinds) | DigestPointer;

export type DigestPointer = { readonly digest: Digest; readonly size?: number; readonly mediaType?: string } & Kinds;

/** With `any`, a manifest that is no image is taken too. Default: images and indexes only. */
type Kinds = { readonly kinds?: 'any' };

/** A document with its parsed content. */
export type ParsedDocument = RegistryDocument & {
  readonly content: ImageIndex | RegistryManifest | AnyManifest;
  /** The URL that answered, after redirects and without a query. */
  readonly url: string;
  /** Absent if no server was asked. */
  readonly by?: AnsweredBy;
};

/**
 * Gets a manifest or an index and checks it against its digest, size and type, where these are known.
 *
 * @throws ImageError MANIFEST_INVALID, DIGEST_MISMATCH, SIZE_MISMATCH, LIMIT_EXCEEDED, AUTH_REQUIRED, AUTH_DENIED,
 *   HTTP_STATUS, and network errors.
 * @see docs/rules.md R1-R4
 */
export function getManifest(
  client: RegistryClient,
  where: Repository,
  lead: DocumentPointer,
  observer: HttpObserver | undefined,
  signal: AbortSignal,
): Promise<ParsedDocument> {
  const { limits, onWarning } = client.options;
  const isTag = 'tag' in lead;
  const accept = lead.kinds === 'any' ? anyAcceptedTypes : acceptedTypes;
  const target = manifestTarget(where, lead);
  return withinLimit('registryManifest', limits.registryManifest, isTag ? undefined : lead.size, (limit) =>
    client.getDocument(
      target,
      { limit, statuses: [200], decodes: true, headers: { accept }, ...(observer && { observer }) },
      ({ body, headers, url }, by) => {
        const digest = isTag ? digestOf(body) : lead.digest;
        if (!isTag) checkDigest(body, lead);
        const headerDigest = digestHeader(headers);
        if (isTag && headerDigest !== undefined && headerDigest !== digest) {
          const name = `${where.repository}:${lead.tag}`;
          onWarning(`${where.host} gives the digest ${headerDigest} for the manifest of ${name}, but it is ${digest}`);
        }
        const type = headerOf(headers, 'content-type') ?? '';
        const content = parseContent(body, { ...lead, type, mediaType: isTag ? undefined : lead.mediaType }, limits);
        return { bytes: body, digest, mediaType: content.mediaType, content, url: showUrl(url), by };
      },
      signal,
    ),
  );
}

/** @param stated - the type of the answer, and that of the descriptor, if there is one. @throws ImageError MANIFEST_INVALID, LIMIT_EXCEEDED */
function parseContent(
  body: Uint8Array,
  { type, mediaType: wanted, kinds }: { readonly type: string; readonly mediaType: string | undefined } & Kinds,
  limits: Pick<Limits, 'layers'>,
): ParsedDocument['content'] {
  const parse = kinds === 'any' ? parseAnyManifest : parseRegistryManifest;
  const content = parse(body, type, limits.layers);
  if (wanted === undefined || wanted === content.mediaType) return content;
  const message = `a document of type ${content.mediaType} instead of ${wanted}`;
  throw new ImageError('MANIFEST_INVALID', message, { field: 'mediaType' });
}

/**
 * Reads a manifest or an index that was got before, from the same bytes.
 *
 * @param lead.mediaType - the type with which it came, if that is known.
 * @throws ImageError as getManifest
 */
export function parseDocument(
  { bytes, url }: Pick<ParsedDocument, 'bytes' | 'url'>,
  lead: DigestPointer,
  limits: Pick<Limits, 'layers'>,
): ParsedDocument {
  checkDigest(bytes, lead);
  const content = parseContent(bytes, { ...lead, type: lead.mediaType ?? '', mediaType: lead.mediaType }, limits);
  return { bytes, digest: lead.digest, mediaType: content.mediaType, content, url };
}

/**
 * The digest that a tag has now. The manifest is requested only if the registry does not answer HEAD with a digest.
 *
 * @throws ImageError as getManifest
 */
export async function currentDigest(
  client: RegistryClient,
  where: Repository,
  tag: string,
  observer: HttpObserver | undefined,
  signal: AbortSignal,
): Promise<Digest> {
  const request: Omit<DocumentRequest, 'url'> = {
    method: 'HEAD',
    limit: { name: 'registryManifest', bytes: client.options.limits.registryManifest },
    statuses: [200, 405, 501],
    headers: { accept: acceptedTypes },
    ...(observer && { observer }),
  };
  const target = manifestTarget(where, { tag });
  const said = await client
    .getDocument(target, request, ({ status, headers }) => (status === 200 ? digestHeader(headers) : undefined), signal)
    .catch((error: unknown) => {
      if (!isHeadRefused(error)) throw error;
      return undefined;
    });
  return said ?? (await getManifest(client, where, { tag }, observer, signal)).digest;
}

/** Whether HEAD may be unsupported: registries answer it with various statuses then. GET follows and reports any other fault. */
function isHeadRefused(error: unknown): boolean {
  if (hasCode(error, 'AUTH_REQUIRED') || hasCode(error, 'AUTH_DENIED')) {
    return hasCode(error.cause, 'HTTP_STATUS') && error.cause.details.status === 403;
  }
  if (!hasCode(error, 'HTTP_STATUS')) return false;
  const { status } = error.details;
  return status >= 400 && status < 500 && ![401, 407, 408, 425, 429].includes(status);
}

/** Gets the configuration of an image and checks its digest and size. @throws ImageError as getManifest */
export function getConfig(
  client: RegistryClient,
  where: Repository,
  config: Descriptor,
  observer: HttpObserver | undefined,
  signal: AbortSignal,
): Promise<RegistryDocument> {
  const limit = { name: 'registryConfig', bytes: client.options.limits.registryConfig };
  return getSmallBlob(client, where, { blob: config, limit }, observer, signal);
}

/** Gets a blob into memory and checks its digest and size. @throws ImageError as getManifest */
export function getSmallBlob(
  client: RegistryClient,
  where: Repository,
  { blob, limit: most }: { readonly blob: Descriptor; readonly limit: DocumentRequest['limit'] },
  observer: HttpObserver | undefined,
  signal: AbortSignal,
): Promise<RegistryDocument> {
  const { digest, mediaType, size } = blob;
  const target = targetOf(where, { path: `blobs/${digest}`, namedBy: 'digest' });
  return withinLimit(most.name, most.bytes, size, (limit) =>
    client.getDocument(
      target,
      { limit, statuses: [200], ...(observer && { observer }) },
      ({ body }) => {
        checkDigest(body, blob);
        return { bytes: body, digest, mediaType };
      },
      signal,
    ),
  );
}

/** Refuses a document whose announced size is over the limit, and reads no more bytes than announced. */
async function withinLimit<T>(
  name: string,
  maximum: number,
  size: number | undefined,
  ask: (limit: DocumentRequest['limit']) => Promise<T>,
): Promise<T> {
  if (size === undefined) return ask({ name, bytes: maximum });
  if (size > maximum)
    throw new ImageError('LIMIT_EXCEEDED', `${size} bytes, more than ${maximum}`, { limit: name, maximum });
  try {
    return await ask({ name, bytes: size });
  } catch (error) {
    throw hasCode(error, 'LIMIT_EXCEEDED') && error.details.limit === name ? sizeMismatch(size, size + 1) : error;
  }
}

type ContentPath = Pick<RegistryTarget, 'path' | 'namedBy'>;

/** What is asked for a manifest. */
export function manifestTarget(where: Repository, lead: DocumentPointer): RegistryTarget {
  return targetOf(where, manifestPath(lead));
}

function targetOf({ host, repository, digest }: Repository, part: ContentPath): RegistryTarget {
  return { host, repository, ...(digest !== undefined && { digest }), ...part };
}

function manifestPath(lead: DocumentPointer): ContentPath {
  return 'tag' in lead
    ? { path: `manifests/${lead.tag}`, namedBy: 'tag' }
    : { path: `manifests/${lead.digest}`, namedBy: 'digest' };
}

function digestHeader(headers: HttpDocument['headers']): Digest | undefined {
  const text = headerOf(headers, 'docker-content-digest');
  return text !== undefined && isDigest(text) ? text : undefined;
}
