import type { ImageId } from './image-id.ts';
import type { Labels } from './labels.ts';

/** One entry of a manifest's `dependencies`. `imageId` may be a prefix-free whole ID or a shorter pin, as written. */
export type Dependency = {
  readonly imageName: string;
  readonly imageId?: string;
  readonly labels: Labels;
  /** Bytes of the uncompressed image. */
  readonly size?: number;
};

/** What longshore needs of an image manifest; the whole document is kept as text beside it. @see appc 3 */
export type ImageManifest = {
  readonly acVersion: string;
  readonly name: string;
  readonly labels: Labels;
  readonly dependencies: readonly Dependency[];
  readonly pathWhitelist: readonly string[];
};

export type { ImageId };
