import { hasCode, ImageError } from '../errors.ts';
import { headerOf } from '../http/headers.ts';
import type { HttpDocument, DocumentRequest, HttpObserver } from '../http/contract.ts';
import { isDigest, type Digest } from '../image/digest.ts';
import type { RegistryReference } from '../image/reference.ts';
import { showUrl } from '../image/show.ts';
import { checkDigest, digestOf, sizeMismatch } from './download-blob.ts';
import type { RegistryClient, RegistryTarget } from './client.ts';
import { parseRegistryManifest } from './manifest.ts';
import { acceptedTypes } from './media-types.ts';
import type { Descriptor, ImageIndex, RegistryDocument, RegistryManifest } from './types.ts';

/** `digest` is that of the reference, where it has one. */
export type Repository = Pick<RegistryReference, 'host' | 'repository' | 'digest'>;

/** What leads to a document: a tag, a digest, or a descriptor, which knows its size and type too. */
export type Lead =
  { readonly tag: string } | { readonly digest: Digest; readonly size?: number; readonly mediaType?: string };

/** A document with what it says. */
export type ParsedDocument = RegistryDocument & {
  readonly content: ImageIndex | RegistryManifest;
  /** Where it really came from, without a query. */
  readonly url: string;
};

/**
 * A manifest or an index, checked against what led to it.
 *
 * @throws ImageError MANIFEST_INVALID, DIGEST_MISMATCH, SIZE_MISMATCH, LIMIT_EXCEEDED, AUTH_REQUIRED, AUTH_DENIED,
 *   HTTP_STATUS, and what networks do.
 * @see docs/rules.md R1-R4
 */
export function getManifest(
  client: RegistryClient,
  where: Repository,
  lead: Lead,
  observer: HttpObserver | undefined,
  signal: AbortSignal,
): Promise<ParsedDocument> {
  const { limits, onWarning } = client.options;
  const isTag = 'tag' in lead;
  const target = targetOf(where, manifestOf(lead));
  return bounded('registry-manifest', limits.registryManifest, isTag ? undefined : lead.size, (limit) =>
    client.getDocument(
      target,
      { limit, statuses: [200], decodes: true, headers: { accept: acceptedTypes }, ...(observer && { observer }) },
      ({ body, headers, url }) => {
        const digest = isTag ? digestOf(body) : lead.digest;
        if (!isTag) checkDigest(body, lead);
        const said = digestHeader(headers);
        if (isTag && said !== undefined && said !== digest) {
          onWarning(`${where.host} calls the manifest of ${where.repository}:${lead.tag} ${said}, but it is ${digest}`);
        }
        const type = headerOf(headers, 'content-type') ?? '';
        const content = parseRegistryManifest(body, type, limits.layers);
        if (!isTag && lead.mediaType !== undefined && lead.mediaType !== content.mediaType) {
          const message = `a document of type ${content.mediaType} where one of type ${lead.mediaType} was announced`;
          throw new ImageError('MANIFEST_INVALID', message, { field: 'mediaType' });
        }
        return { bytes: body, digest, mediaType: content.mediaType, content, url: showUrl(url) };
      },
      signal,
    ),
  );
}

/**
 * What a tag stands for now, without a pull where the registry tells.
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
    limit: { name: 'registry-manifest', bytes: client.options.limits.registryManifest },
    statuses: [200, 405, 501],
    headers: { accept: acceptedTypes },
    ...(observer && { observer }),
  };
  const target = targetOf(where, manifestOf({ tag }));
  const said = await client
    .getDocument(target, request, ({ status, headers }) => (status === 200 ? digestHeader(headers) : undefined), signal)
    .catch((error: unknown) => {
      if (!isHeadRefused(error)) throw error;
      return undefined;
    });
  return said ?? (await getManifest(client, where, { tag }, observer, signal)).digest;
}

/** Some registries know no HEAD, and say so in many ways; what is wrong with GET too is told then. */
function isHeadRefused(error: unknown): boolean {
  if (hasCode(error, 'AUTH_REQUIRED') || hasCode(error, 'AUTH_DENIED')) {
    return hasCode(error.cause, 'HTTP_STATUS') && error.cause.details.status === 403;
  }
  if (!hasCode(error, 'HTTP_STATUS')) return false;
  const { status } = error.details;
  return status >= 400 && status < 500 && ![401, 407, 408, 425, 429].includes(status);
}

/** The configuration of an image, checked. @throws ImageError as getManifest */
export function getConfig(
  client: RegistryClient,
  where: Repository,
  config: Descriptor,
  observer: HttpObserver | undefined,
  signal: AbortSignal,
): Promise<RegistryDocument> {
  const { digest, mediaType, size } = config;
  const target = targetOf(where, { path: `blobs/${digest}`, wanted: 'digest' });
  return bounded('registry-config', client.options.limits.registryConfig, size, (limit) =>
    client.getDocument(
      target,
      { limit, statuses: [200], ...(observer && { observer }) },
      ({ body }) => {
        checkDigest(body, config);
        return { bytes: body, digest, mediaType };
      },
      signal,
    ),
  );
}

/** Nothing is asked for that is to be too large, and nothing read beyond the size that it is to have. */
async function bounded<T>(
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

type Part = Pick<RegistryTarget, 'path' | 'wanted'>;

function targetOf({ host, repository, digest }: Repository, part: Part): RegistryTarget {
  return { host, repository, ...(digest !== undefined && { digest }), ...part };
}

function manifestOf(lead: Lead): Part {
  return 'tag' in lead
    ? { path: `manifests/${lead.tag}`, wanted: 'tag' }
    : { path: `manifests/${lead.digest}`, wanted: 'digest' };
}

function digestHeader(headers: HttpDocument['headers']): Digest | undefined {
  const text = headerOf(headers, 'docker-content-digest');
  return text !== undefined && isDigest(text) ? text : undefined;
}
