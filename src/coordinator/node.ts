import type { ImageError } from '../errors.ts';
import type { Pin } from '../fetchers/context.ts';
import type { Found } from '../fetchers/found.ts';
import type { ImageReference } from '../image/reference.ts';
import type { GraphNode } from './graph.ts';

/** One image to bring, however many want it; `F` is what is found out of it. */
export interface ImageNode<F = Found> extends GraphNode<ImageNode<F>> {
  readonly key: string;
  readonly reference: ImageReference;
  readonly signature: string | undefined;
  readonly pin: Pin | undefined;
  /** Who asked for it by name; empty for what is only a dependency. */
  readonly requests: { readonly index: number; readonly text: string }[];
  /** 0 for a request, one more than its first parent otherwise. */
  readonly depth: number;
  /** The key of the request that it, or its first parent, was added for. */
  readonly root: string;
  /** Until it has settled: of ten thousand images, what was found out of each is not kept. */
  found: F | undefined;
  /** Of the image, once it is there. */
  imageId: string | undefined;
  /** Its own failure, or that of something it depends on. */
  error: ImageError | undefined;
  /** Why it was not brought to its end. */
  cancelled: ImageError<'CANCELLED'> | undefined;
  durationMs: number | undefined;
}

export type NodeRequest = Pick<ImageNode, 'key' | 'reference' | 'signature' | 'pin' | 'depth'>;

export function createNode<F>(request: NodeRequest, root: string): ImageNode<F> {
  return {
    ...request,
    root,
    requests: [],
    children: [],
    parents: [],
    pending: 0,
    state: 'open',
    found: undefined,
    imageId: undefined,
    error: undefined,
    cancelled: undefined,
    durationMs: undefined,
  };
}
