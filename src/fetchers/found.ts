import type { Digest } from '../image/digest.ts';
import type { ImageId } from '../image/image-id.ts';
import type { StoredImage } from '../store/store.ts';

/** What there is to tell of an image. One of a registry that is kept as it came has its manifest's digest as its ID. */
export type FoundImage = Pick<
  StoredImage,
  'name' | 'labels' | 'size' | 'digest' | 'source' | 'verified' | 'latest' | 'dependencies'
> & { readonly imageId: ImageId | Digest };

/** How a fetch ended well: the image, whether bytes came for it, and how many. */
export type Found = {
  readonly status: 'fetched' | 'present';
  readonly image: FoundImage;
  readonly bytesDownloaded: number;
  /** Of a registry's image that was fetched: the URL that its manifest came from, which may be a mirror's. */
  readonly endpoint?: string;
};

export function present(image: FoundImage): Found {
  return { status: 'present', image, bytesDownloaded: 0 };
}
