import { ImageError } from '../errors.ts';
import type { HttpObserver } from '../http/contract.ts';
import { parseDigest } from '../image/digest.ts';
import type { GoPlatform } from '../image/platform.ts';
import type { RegistryReference } from '../image/reference.ts';
import { choosePlatform } from './choose-platform.ts';
import type { RegistryClient } from './client.ts';
import { getManifest, type Lead } from './documents.ts';
import type { Descriptor, RegistryDocument, RegistryManifest } from './types.ts';
import { debugLog } from '../system/debug.ts';
import { show } from '../image/show.ts';

const debug = debugLog('registry');

/** An image as a registry has it: all that is needed to bring its blobs. */
export type ResolvedImage = {
  /** What the reference stands for, an index or the manifest. */
  readonly digest: RegistryDocument['digest'];
  /** On the way to the manifest, the outermost first; none where the reference stands for the manifest. */
  readonly indexes: readonly RegistryDocument[];
  readonly manifest: RegistryDocument;
  /** The URL that the manifest really came from: of the registry, or of a mirror. */
  readonly endpoint: string;
  /** As the indexes have it, where they do. */
  readonly platform: GoPlatform | undefined;
  readonly config: Descriptor;
  /** The lowest first. */
  readonly layers: readonly Descriptor[];
  readonly annotations: RegistryManifest['annotations'];
};

/**
 * Finds the image that a reference stands for on a platform. What no index tells the platform of has to be checked
 * against its configuration.
 *
 * @throws ImageError PLATFORM_MISSING, LIMIT_EXCEEDED for indexes in indexes, and as getManifest
 */
export async function resolveImage(
  client: RegistryClient,
  reference: RegistryReference,
  { platform, observer }: { readonly platform: GoPlatform; readonly observer?: HttpObserver },
  signal: AbortSignal,
): Promise<ResolvedImage> {
  const maximum = client.options.limits.indexDepth;
  const indexes: RegistryDocument[] = [];
  let named: GoPlatform | undefined;
  let lead = leadOf(reference);
  for (;;) {
    const { content, url, ...document } = await getManifest(client, reference, lead, observer, signal);
    if (content.kind === 'manifest') {
      const { config, layers, annotations } = content;
      const { digest } = indexes[0] ?? document;
      return { endpoint: url, digest, indexes, manifest: document, platform: named, config, layers, annotations };
    }
    indexes.push(document);
    if (indexes.length > maximum) {
      const message = `more than ${maximum} indexes in one another`;
      throw new ImageError('LIMIT_EXCEEDED', message, { limit: 'index-depth', maximum });
    }
    const { digest, size, mediaType, platform: chosen } = choosePlatform(content.entries, platform);
    debug(
      () =>
        `${show(reference.text)}: index ${document.digest} leads to ${digest} for ${platform.os}/${platform.architecture}`,
    );
    named = chosen ?? named;
    lead = { digest, size, mediaType };
  }
}

/** The digest decides where there is one. */
function leadOf({ digest, tag = 'latest' }: RegistryReference): Lead {
  return digest === undefined ? { tag } : { digest: parseDigest(digest) };
}
