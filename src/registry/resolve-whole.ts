import { ImageError } from '../errors.ts';
import type { HttpObserver } from '../http/contract.ts';
import { type GoPlatform, indexTypes } from '../image/platform.ts';
import type { RegistryReference } from '../image/registry-reference.ts';
import { sideBySide } from '../system/single-flight.ts';
import type { RegistryClient } from './client.ts';
import { type DocumentPointer, getManifest, type ParsedDocument } from './documents.ts';
import { digestOf } from './download-blob.ts';
import { checkSizes } from './manifest.ts';
import { deriveOciManifest } from './media-types.ts';
import { type GetDocument, pointerOf, type ResolvedImage, resolveImage } from './resolve.ts';
import type { Descriptor, RegistryDocument } from './types.ts';

/** A document with everything that it leads to. */
export type DocumentTree = {
  /** Each once; every index comes before what it names. */
  readonly documents: readonly ParsedDocument[];
  /** The configurations and layers of all manifests, each once. */
  readonly blobs: readonly Descriptor[];
};

/** An index of a registry with everything in it, that is: images for all platforms, and what belongs to them. */
export type WholeIndex = DocumentTree & {
  readonly digest: RegistryDocument['digest'];
  readonly manifest: RegistryDocument;
  /** The URL that the index came from, of the registry or a mirror, after redirects. */
  readonly endpoint: string;
  readonly platforms: readonly GoPlatform[];
};

type Resolving = { readonly get?: GetDocument };

/**
 * Finds everything that a reference leads to. If it names no index, that is the one image.
 *
 * @throws ImageError LIMIT_EXCEEDED for too many nested indexes, manifests, or bytes of them, and as getManifest
 */
export async function resolveWhole(
  client: RegistryClient,
  reference: RegistryReference,
  { get = (_, ask) => ask({}) }: Resolving,
  signal: AbortSignal,
): Promise<WholeIndex | ResolvedImage> {
  const pointer = pointerOf(reference);
  const root = await get(pointer, (observer) => getManifest(client, reference, pointer, observer, signal));
  if (root.content.kind !== 'index') {
    const anyPlatform = { os: '', architecture: '' }; // an image that no index leads to is not chosen by its platform
    return resolveImage(client, reference, { platform: anyPlatform, get: () => Promise.resolve(root) }, signal);
  }
  const { documents, blobs } = await resolveTree(client, reference, { roots: [root], get }, signal);
  const { bytes, digest, mediaType, url } = root;
  return {
    digest,
    manifest: { bytes, digest, mediaType },
    endpoint: url,
    documents,
    blobs,
    platforms: documents.flatMap(({ content }) =>
      content.kind === 'index' ? content.entries.flatMap(platformOf) : [],
    ),
  };
}

/** The platform of an image in an index; none for an index inside it, an attestation, and what names none. */
function platformOf({ platform, mediaType }: { platform: GoPlatform | undefined; mediaType: string }): GoPlatform[] {
  const isImage = platform && platform.os !== 'unknown' && !indexTypes.includes(mediaType);
  return isImage ? [platform] : [];
}

/** The most documents that one leads to, and their bytes in units of the limit for one. */
const maxDocuments = 1024;
const maxSizes = 16;

/** Gets all documents that documents lead to. @throws ImageError as resolveWhole */
export async function resolveTree(
  client: RegistryClient,
  where: RegistryReference,
  { roots, get = (_, ask) => ask({}) }: Resolving & { readonly roots: readonly ParsedDocument[] },
  signal: AbortSignal,
): Promise<DocumentTree> {
  const { indexDepth, registryManifest } = client.options.limits;
  const documents = new Map(roots.map((root) => [root.digest, root]));
  let bytes = roots.reduce((sum, root) => sum + root.bytes.byteLength, 0);
  let level = roots;
  for (let depth = 1; level.length > 0; depth += 1) {
    const indexes = level.flatMap(({ content }) => (content.kind === 'index' ? [content] : []));
    if (indexes.length > 0 && depth > indexDepth) throw tooMuch('indexDepth', indexDepth, 'nested indexes');
    const entries = indexes.flatMap((index) => index.entries).filter(({ digest }) => !documents.has(digest));
    const wanted = [...new Map(entries.map((entry) => [entry.digest, entry])).values()];
    if (documents.size + wanted.length > maxDocuments)
      throw tooMuch('manifests', maxDocuments, 'manifests of one image');
    const maxBytes = maxSizes * registryManifest;
    bytes += wanted.reduce((sum, { size }) => sum + size, 0);
    if (bytes > maxBytes) throw tooMuch('manifests', maxBytes, 'bytes of manifests of one image');
    const bring = ({ digest, size, mediaType }: Descriptor, either: AbortSignal): Promise<ParsedDocument> => {
      const pointer: DocumentPointer = { digest, size, mediaType, kinds: 'any' };
      return get(pointer, (observer: HttpObserver) => getManifest(client, where, pointer, observer, either));
    };
    level = await sideBySide(wanted, bring, signal);
    for (const document of level) documents.set(document.digest, document);
  }
  const all = [...documents.values()];
  const blobs = all.flatMap(({ content }) => partsOf(content));
  checkSizes([...blobs, ...all.flatMap(({ content }) => (content.kind === 'index' ? content.entries : []))]);
  return { documents: all, blobs: [...new Map(blobs.map((blob) => [blob.digest, blob])).values()] };
}

function tooMuch(limit: string, maximum: number, what: string): ImageError<'LIMIT_EXCEEDED'> {
  return new ImageError('LIMIT_EXCEEDED', `more than ${maximum} ${what}`, { limit, maximum });
}

function partsOf(content: ParsedDocument['content']): readonly Descriptor[] {
  if (content.kind === 'index') return [];
  return [...(content.config ? [content.config] : []), ...content.layers];
}

/**
 * Makes an OCI index from a docker one, with the OCI manifests of the docker ones in it, for tools that read only OCI. The same index
 * always gives the same bytes.
 *
 * @returns the index and what was made for it, the index first; nothing if it is an OCI one.
 */
export function deriveOciIndex({ documents, manifest }: WholeIndex): readonly RegistryDocument[] {
  const [ociIndex] = indexTypes;
  const known = new Map(documents.map((document) => [document.digest as string, document]));
  const made = new Map<string, RegistryDocument>();
  const derive = (digest: string): RegistryDocument | undefined => {
    const document = known.get(digest);
    const earlier = made.get(digest);
    if (!document || earlier) return earlier;
    const { content } = document;
    const derived = content.kind === 'index' ? deriveIndex(document) : deriveManifest(document);
    if (derived) made.set(digest, derived);
    return derived;
  };
  const deriveIndex = ({ bytes, mediaType }: RegistryDocument): RegistryDocument | undefined => {
    if (mediaType === ociIndex) return undefined;
    // as resolveTree has parsed it; members that it does not read, such as os.version, are kept
    const { manifests } = JSON.parse(Buffer.from(bytes).toString()) as {
      manifests?: readonly { digest: string }[] | null;
    };
    const entries = (manifests ?? []).map((entry) => {
      const derived = derive(entry.digest);
      if (!derived) return entry;
      return { ...entry, mediaType: derived.mediaType, digest: derived.digest, size: derived.bytes.byteLength };
    });
    return asDocument(JSON.stringify({ schemaVersion: 2, mediaType: ociIndex, manifests: entries }), ociIndex ?? '');
  };
  const root = derive(manifest.digest);
  return root ? [root, ...[...made.values()].filter((document) => document !== root)] : [];
}

function deriveManifest(document: ParsedDocument): RegistryDocument | undefined {
  const { content } = document;
  if (content.kind === 'index' || !content.config) return undefined;
  return deriveOciManifest(document, { config: content.config, layers: content.layers });
}

function asDocument(text: string, mediaType: string): RegistryDocument {
  const bytes = Buffer.from(text);
  return { bytes, digest: digestOf(bytes), mediaType };
}
