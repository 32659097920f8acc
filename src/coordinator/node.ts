import type { ImageError } from '../errors.ts';
import type { OwnChoices, Pin } from '../fetchers/context.ts';
import type { Found } from '../fetchers/found.ts';
import type { ImageReference } from '../image/reference.ts';
import type { GraphNode } from './graph.ts';

/** One image of a batch, whether one or several requests and images need it; `F` is the result of its visit. */
export interface ImageNode<F = Found> extends GraphNode<ImageNode<F>> {
  readonly key: string;
  readonly reference: ImageReference;
  readonly signature: string | undefined;
  readonly pin: Pin | undefined;
  readonly choices?: OwnChoices | undefined;
  /** The requests for this image; empty if it is only a dependency. */
  readonly requests: { readonly index: number; readonly text: string }[];
  /** 0 for a request, else one more than the depth of its first parent. */
  readonly depth: number;
  /** The key of the request whose tree it was added in. */
  readonly root: string;
  /** The result of the visit, removed when the node has settled: a large batch needs less memory. */
  found: F | undefined;
  /** Undefined until the image is in the store. */
  imageId: string | undefined;
  /** Its own failure, or that of an image that it depends on. */
  error: ImageError | undefined;
  /** Why it was stopped before its end. */
  cancelled: ImageError<'CANCELLED'> | undefined;
  durationMs: number | undefined;
}

export type NodeRequest = Pick<ImageNode, 'key' | 'reference' | 'signature' | 'pin' | 'choices' | 'depth'>;

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
