import type { Digest } from '../image/digest.ts';
import type { ImageId } from '../image/image-id.ts';
import type { Labels } from '../image/labels.ts';
import type { Dependency } from '../image/manifest.ts';
import type { GoPlatform } from '../image/platform.ts';
import type { StoredImage } from '../store/store.ts';

/** The facts about an image. The ID of a registry image that is stored without conversion is the digest of its manifest or index. */
export type FoundImage = Pick<
  StoredImage,
  'name' | 'labels' | 'size' | 'digest' | 'source' | 'verified' | 'latest' | 'dependencies'
> & {
  readonly imageId: ImageId | Digest;
  /** Of a registry image that is stored without conversion: its platform, and the index that it was chosen from. */
  readonly platform?: GoPlatform;
  readonly index?: Digest;
  /** Of registry images for several platforms, which the ID of their index stands for. */
  readonly platforms?: readonly GoPlatform[];
};

/** The result of a successful fetch. */
export type Found = {
  readonly status: 'fetched' | 'present';
  readonly image: FoundImage;
  readonly bytesDownloaded: number;
  /** By whose signatures it meets the policy; absent if none decides about it: then `verified` of the image says who has signed. */
  readonly signedBy?: readonly string[];
  /** The bytes of the blobs that a fetched image needs in the store, by digest; other images may have the same ones. */
  readonly blobs?: ReadonlyMap<string, number>;
  /** Of a registry image: the digest of what its reference stands for, of an index or of the manifest. */
  readonly root?: Digest;
  /** Of an archive that was discovered: its exact URL, and that of its signature. */
  readonly origin?: { readonly url: string; readonly signature?: string };
  /** The URL that the manifest of a fetched registry image came from, of the registry or a mirror. */
  readonly endpoint?: string;
};

/** An archive that has come. */
export function fetched(image: StoredImage, bytesDownloaded: number): Found {
  const { archive } = image;
  return {
    status: 'fetched',
    image,
    bytesDownloaded,
    ...(archive && { blobs: new Map([[archive.digest, archive.size]]) }),
  };
}

/** Who has signed an image, as it counts now. */
export function signersOf({ signedBy, image: { verified } }: Pick<Found, 'signedBy' | 'image'>): readonly string[] {
  return signedBy ?? (verified || []);
}

export function present(image: FoundImage): Found {
  return { status: 'present', image, bytesDownloaded: 0 };
}

/** The archive that is unpacked from a download, or made of layers. */
type PlannedArchive = {
  /** Its size in the store, or at least so many bytes where that is not known: nothing is larger packed than unpacked. */
  readonly leastBytes: number;
  readonly isKnown: boolean;
  /** What lies beside it until it is complete: what is downloaded for it, and unpacked layers. */
  readonly temporaryBytes: number;
  /** Whether the parts of the image are not kept beside it. */
  readonly isAlone: boolean;
  /** The bytes that come to the store with it, since it is kept as it was transferred, too. */
  readonly keptBytes?: number;
};

/** What a fetch would do for one image. */
export type Planned =
  | ({ readonly status: 'present'; readonly image: FoundImage } & Pick<Found, 'signedBy'>)
  | {
      readonly status: 'absent';
      /** The exact URL; absent for a file. */
      readonly url?: string;
      /** The URL without credentials and query, or a path. */
      readonly source: string;
      /** The digest, if known in advance. */
      readonly digest?: string;
      /** The number of bytes to download; undefined if the server does not say. */
      readonly bytesToFetch: number | undefined;
      /** The bytes to download of each part, by digest; other images may have the same parts. */
      readonly parts?: ReadonlyMap<string, number>;
      /** The bytes of parts that the store has already. */
      readonly bytesInStore?: number;
      /** The archive that the store will have; absent if it keeps the image as it comes. */
      readonly archive?: PlannedArchive;
      /** The URL or path of the signature; absent if nothing is verified. */
      readonly signature?: string;
      /** Absent if the manifest is only in the remote archive. */
      readonly manifest?: {
        readonly name: string;
        readonly labels: Labels;
        readonly dependencies: readonly Dependency[];
      };
    };
