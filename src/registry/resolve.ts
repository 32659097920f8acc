import { ImageError } from '../errors.ts';
import type { HttpObserver } from '../http/contract.ts';
import { parseDigest } from '../image/digest.ts';
import { choosePlatform, type GoPlatform } from '../image/platform.ts';
import type { RegistryReference } from '../image/registry-reference.ts';
import { show } from '../image/show.ts';
import { debugLog } from '../system/debug.ts';
import type { RegistryClient } from './client.ts';
import { type DocumentPointer, getManifest, type ParsedDocument } from './documents.ts';
import type { Descriptor, RegistryDocument, RegistryManifest } from './types.ts';

const debug = debugLog('registry');

/** An image of a registry, with all that is needed to download its blobs. */
export type ResolvedImage = {
  /** The digest of the document that the reference names: an index or the manifest. */
  readonly digest: RegistryDocument['digest'];
  /** The indexes on the way to the manifest, the outermost first; empty if the reference names the manifest. */
  readonly indexes: readonly RegistryDocument[];
  readonly manifest: RegistryDocument;
  /** The URL that the manifest came from, of the registry or a mirror, after redirects. */
  readonly endpoint: string;
  /** The platform in the index entry of the manifest, if it has one. */
  readonly platform: GoPlatform | undefined;
  readonly config: Descriptor;
  /** The lowest layer first. */
  readonly layers: readonly Descriptor[];
  readonly annotations: RegistryManifest['annotations'];
};

/** Gets a document. @param ask - asks the registry for it. */
export type GetDocument = (
  pointer: DocumentPointer,
  ask: (observer: HttpObserver) => Promise<ParsedDocument>,
) => Promise<ParsedDocument>;

/**
 * Finds the image that a reference names for a platform. If no index names the platform, the caller must compare it with the
 * configuration of the image.
 *
 * @param options.get - called for each document. Default: asks the registry.
 * @throws ImageError PLATFORM_MISSING, LIMIT_EXCEEDED for too many nested indexes, and as getManifest
 */
export async function resolveImage(
  client: RegistryClient,
  reference: RegistryReference,
  { platform, get = (_, ask) => ask({}) }: { readonly platform: GoPlatform; readonly get?: GetDocument },
  signal: AbortSignal,
): Promise<ResolvedImage> {
  const maximum = client.options.limits.indexDepth;
  const indexes: RegistryDocument[] = [];
  let namedPlatform: GoPlatform | undefined;
  let pointer = pointerOf(reference);
  for (;;) {
    const asked = pointer;
    const ask = (observer: HttpObserver) => getManifest(client, reference, asked, observer, signal);
    const { content, url, bytes, digest, mediaType } = await get(asked, ask);
    const document = { bytes, digest, mediaType };
    if (content.kind === 'manifest') {
      const { config, layers, annotations } = content;
      return {
        endpoint: url,
        digest: indexes[0]?.digest ?? digest,
        indexes,
        manifest: document,
        platform: namedPlatform,
        config,
        layers,
        annotations,
      };
    }
    if (content.kind === 'any') throw new Error('only images and indexes are asked for');
    indexes.push(document);
    if (indexes.length > maximum) {
      const message = `more than ${maximum} nested indexes`;
      throw new ImageError('LIMIT_EXCEEDED', message, { limit: 'indexDepth', maximum });
    }
    const chosen = choosePlatform(content.entries, platform);
    debug(
      () => `${show(reference.text)}: index ${digest} has ${chosen.digest} for ${platform.os}/${platform.architecture}`,
    );
    namedPlatform = chosen.platform ?? namedPlatform;
    pointer = { digest: chosen.digest, size: chosen.size, mediaType: chosen.mediaType };
  }
}

/** A reference with a digest and a tag is resolved by its digest. */
export function pointerOf({ digest, tag = 'latest' }: RegistryReference): DocumentPointer {
  return digest === undefined ? { tag } : { digest: parseDigest(digest) };
}
