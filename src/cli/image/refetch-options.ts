import { toGoPlatform, type ActionOptions, type Entry, type Store } from '../../index.ts';

/** How an image is to be brought so that it is the same again. */
export type RefetchOptions = {
  /** What had been verified is verified again, what had not is not. */
  readonly isVerified: boolean;
  /** Of an image of a registry. */
  readonly registry?: Required<Pick<ActionOptions, 'keep' | 'platform'>>;
};

const scheme = 'docker://';

/** @throws PLATFORM_MISSING for an image whose platform no registry could have a name for */
export async function refetchOptions(store: Store, entry: Entry): Promise<RefetchOptions> {
  const isVerified = entry.verified !== false;
  if (entry.kind === 'registry') {
    const { imageId, platform } = entry.image;
    return { isVerified, registry: { keep: imageId === undefined ? 'oci' : 'both', platform: asked(platform) } };
  }
  if (!entry.source.startsWith(scheme)) return { isVerified };
  const kept = await store.findRegistryImage(entry.source.slice(scheme.length));
  const [os, arch] = [entry.labels.get('os'), entry.labels.get('arch')];
  const platform = os === undefined || arch === undefined ? [] : asked(toGoPlatform({ os, arch }));
  return { isVerified, registry: { keep: kept ? 'both' : 'aci', platform } };
}

/** The text that fetches an image again. */
export function refetchSource(entry: Entry): string {
  return entry.kind === 'image' ? entry.source : scheme + entry.image.reference;
}

/** Nothing when the image does not say what it is for. */
function asked({ os, architecture, variant }: ReturnType<typeof toGoPlatform>): readonly string[] {
  return os === '' ? [] : [[os, architecture, variant].filter(Boolean).join('/')];
}
