import type { StoredImage } from '../store/store.ts';

/** How a fetch ended well: the image, whether bytes came for it, and how many. */
export type Found = {
  readonly status: 'fetched' | 'present';
  readonly image: StoredImage;
  readonly bytesDownloaded: number;
};

export function present(image: StoredImage): Found {
  return { status: 'present', image, bytesDownloaded: 0 };
}
