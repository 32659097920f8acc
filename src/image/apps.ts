import type { ImageId } from './image-id.ts';

export type ImageType = 'guess' | 'hash' | 'url' | 'path' | 'name' | 'docker';

export type Mount = { readonly volume: string; readonly path: string };
export type Volume = {
  readonly name: string;
  readonly kind: 'host' | 'empty';
  readonly source?: string;
  readonly readOnly?: boolean;
};

/** One entry of an Apps list, as rkt's App: what to fetch, and what fetching carries along untouched. */
export type AppInput = {
  /** As the user typed it. */
  readonly image: string;
  readonly type?: ImageType;
  /** Path of a detached signature that overrides the one beside the image. */
  readonly signature?: string;
  readonly args?: readonly string[];
  readonly exec?: string;
  readonly mounts?: readonly Mount[];
  readonly memoryLimit?: string;
  readonly cpuLimit?: string;
};

export type App = AppInput & {
  /** Filled in by findImages when the image is there. */
  imageID?: ImageId;
};
