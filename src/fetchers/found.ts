import type { Digest } from '../image/digest.ts';
import type { ImageId } from '../image/image-id.ts';
import type { Labels } from '../image/labels.ts';
import type { Dependency } from '../image/manifest.ts';
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

/** What a fetch would do about one image. */
export type Planned =
  | { readonly status: 'present'; readonly image: FoundImage }
  | {
      readonly status: 'absent';
      /** The exact URL it would come from; absent for a file. */
      readonly url?: string;
      /** The same without credentials and query, or a path. */
      readonly source: string;
      /** Of what would come, where it is known beforehand. */
      readonly digest?: string;
      /** What the network still has to bring; undefined when the server does not say. */
      readonly bytesToFetch: number | undefined;
      /** Its parts by digest, which other images may share, with what each adds to that. */
      readonly parts?: ReadonlyMap<string, number>;
      /** Where its signature is; absent when signatures are not checked. */
      readonly signature?: string;
      /** Absent where nothing but the archive says. */
      readonly manifest?: {
        readonly name: string;
        readonly labels: Labels;
        readonly dependencies: readonly Dependency[];
      };
    };
