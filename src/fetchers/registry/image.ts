import type { Digest } from '../../image/digest.ts';
import { formatPlatformChoice, type PlatformChoice, registryLabels } from '../../image/platform.ts';
import { formatReference } from '../../image/reference.ts';
import { registryImageName, type RegistryReference } from '../../image/registry-reference.ts';
import type { RegistryClient } from '../../registry/client.ts';
import type { ResolvedImage } from '../../registry/resolve.ts';
import type { RegistryDocument } from '../../registry/types.ts';
import type { Referrer, RegistryImage } from '../../store/registry-store.ts';
import type { RegistryVerification } from '../../verify/needs.ts';
import type { FetchRequest, Registries } from '../context.ts';
import type { FoundImage } from '../found.ts';
import type { LockedDigests } from './locked.ts';

/** The facts about a registry image that is stored without conversion, in the form that all images have. */
export function describeRegistryImage(
  reference: RegistryReference,
  {
    manifest,
    index,
    platform,
    platforms,
    source,
    verified,
    latest,
  }: Omit<RegistryImage, 'importedAtMs' | 'lastUsedAtMs'>,
): FoundImage {
  return {
    imageId: manifest.digest,
    name: registryImageName(reference),
    labels: registryLabels(reference, platform),
    size: manifest.size,
    digest: manifest.digest,
    source,
    verified,
    latest,
    dependencies: [],
    platform,
    ...(index && { index: index.digest }),
    ...(platforms && { platforms }),
  };
}

/** Whether an image is stored as the latest of its name: only with the tag `latest`, which is the default. */
export function isLatest({ tag }: Pick<RegistryReference, 'tag'>): boolean {
  return tag === 'latest';
}

/** An image of a registry for one platform, or the whole index with all of them. */
export type WantedImage = Pick<FetchRequest<RegistryReference>, 'key' | 'reference'> & {
  readonly platform: PlatformChoice;
  /** The source for messages: `docker://docker.io/library/busybox:1`. */
  readonly source: string;
  /** The source with the platform, which is the key in the URL cache. */
  readonly url: string;
  /** The name in the store and for other tools: `docker.io/library/busybox:1`. */
  readonly name: string;
  /** What it must be. */
  readonly locked: LockedDigests | undefined;
  /** It is stored under a name with its digest: it is not for the first platform, or another request or an index with all platforms has the name. */
  readonly isFurther: boolean;
};

export function wantedImages(
  { platforms: [first, ...others] }: Pick<Registries, 'platforms'>,
  { key, reference, choices }: FetchRequest<RegistryReference>,
): readonly [WantedImage, ...WantedImage[]] {
  const source = formatReference(reference);
  const about = { key, reference, source, name: source.slice('docker://'.length) };
  const wanted = (platform: PlatformChoice, isFurther: boolean): WantedImage => {
    const url = `${source}#${formatPlatformChoice(platform)}`;
    return { ...about, platform, url, locked: undefined, isFurther };
  };
  return [wanted(first, choices?.isFurther ?? false), ...others.map((platform) => wanted(platform, true))];
}

/** An image that is being pulled. */
export type Pull<R = ResolvedImage> = {
  readonly wanted: WantedImage;
  readonly client: RegistryClient;
  readonly resolved: R;
  /** Resolves when the manifest and the indexes are in the store, or cannot be put there early. */
  readonly documentsKept: Promise<unknown>;
  /** Undefined if nothing is verified. */
  readonly verified: RegistryVerification | undefined;
};

/** What is attached to an image, and everything that it leads to; the blobs are in the store. */
export type FetchedReferrers = {
  readonly referrers: readonly Referrer[];
  readonly documents: readonly RegistryDocument[];
  /** The bytes of blobs by digest. */
  readonly blobs: ReadonlyMap<Digest, number>;
  readonly bytesDownloaded: number;
};
