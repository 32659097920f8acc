import type { VerifySimpleSignatureResponse } from '../../../workers/tasks.ts';
import type { Digest } from '../../image/digest.ts';
import type { ImageId } from '../../image/image-id.ts';
import { type GoPlatform, registryLabels } from '../../image/platform.ts';
import { formatReference } from '../../image/reference.ts';
import { registryImageName, type RegistryReference } from '../../image/registry-reference.ts';
import type { RegistryClient } from '../../registry/client.ts';
import type { ResolvedImage } from '../../registry/resolve.ts';
import type { RegistryImage } from '../../store/registry-store.ts';
import type { FetchRequest } from '../context.ts';
import type { FoundImage } from '../found.ts';

/** A registry's image that is kept as it came, in the terms of all images. */
export function describeRegistryImage(
  reference: RegistryReference,
  { manifest, platform, source, verified, latest }: Omit<RegistryImage, 'importedAtMs' | 'lastUsedAtMs'>,
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
  };
}

/** Only what was asked for as `latest`, or without a word, is the latest of its name. */
export function isLatest({ tag }: Pick<RegistryReference, 'tag'>): boolean {
  return tag === 'latest';
}

/** An image of a registry for one platform. */
export type WantedOfRegistry = Pick<FetchRequest<RegistryReference>, 'key' | 'reference'> & {
  readonly platform: GoPlatform;
  /** `docker://docker.io/library/busybox:1`: where it comes from, for people. */
  readonly source: string;
  /** The same and the platform: what is remembered goes by it. */
  readonly url: string;
  /** The name in the store and for other tools: `docker.io/library/busybox:1`. */
  readonly name: string;
  /** What a lock says that it is. */
  readonly locked: ImageId | Digest | undefined;
  /** It is wanted beside the same for another platform, and so its name has to be one of its own. */
  readonly isFurther: boolean;
};

export function wantedOfRegistry(
  [first, ...others]: readonly [GoPlatform, ...GoPlatform[]],
  { key, reference }: FetchRequest<RegistryReference>,
): readonly [WantedOfRegistry, ...WantedOfRegistry[]] {
  const source = formatReference(reference);
  const about = { key, reference, source, name: source.slice('docker://'.length) };
  const wanted = (platform: GoPlatform, isFurther: boolean): WantedOfRegistry => {
    const { os, architecture, variant } = platform;
    const url = `${source}#${[os, architecture, variant].filter(Boolean).join('/')}`;
    return { ...about, platform, url, locked: undefined, isFurther };
  };
  return [wanted(first, false), ...others.map((platform) => wanted(platform, true))];
}

export type Verification = VerifySimpleSignatureResponse;

/** An image that is being brought. */
export type Pull = {
  readonly wanted: WantedOfRegistry;
  readonly client: RegistryClient;
  readonly resolved: ResolvedImage;
  /** Absent: nothing is verified. */
  readonly verified: Verification | undefined;
};
