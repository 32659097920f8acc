import { hasCode, ImageError } from '../errors.ts';
import type { Outcome, OutcomeFacts, OutcomeStatus, Totals } from '../events.ts';
import { type Found, signersOf } from '../fetchers/found.ts';
import { formatReference } from '../image/reference.ts';
import { show } from '../image/show.ts';
import type { ImageNode } from './node.ts';

/** The outcomes of a settled node: one for each request for it, or one if it is only a dependency. */
export function outcomes(node: ImageNode): readonly [Outcome, ...Outcome[]] {
  const [first, ...others] = node.requests.map(({ index, text }) => outcomeOf(node, { reference: text, index }));
  return first ? [first, ...others] : [outcomeOf(node, { reference: formatReference(node.reference) })];
}

function outcomeOf(node: ImageNode, request: Pick<Outcome, 'reference' | 'index'>): Outcome {
  const { found, error, cancelled } = node;
  const facts = factsOf(node);
  if (cancelled) return { ...request, status: 'cancelled', ...facts, error: cancelled };
  if (found && !error) return { ...request, status: found.status, imageID: found.image.imageId, ...facts };
  return { ...request, status: 'failed', ...facts, error: error ?? noOutcome() };
}

/** The error for a node that settled without a result, which is a bug. */
export function noOutcome(): ImageError {
  return new ImageError('INTERNAL', 'no outcome', { what: 'no outcome' });
}

function factsOf({ found, durationMs, children }: ImageNode): Omit<OutcomeFacts, 'reference' | 'index'> {
  return {
    ...(found && {
      imageID: found.image.imageId,
      name: found.image.name,
      labels: Object.fromEntries(found.image.labels),
      digest: found.image.digest,
      ...(found.image.platforms && { platforms: found.image.platforms }),
      source: found.image.source,
      ...(found.endpoint && { endpoint: found.endpoint }),
      bytesDownloaded: found.bytesDownloaded,
      signedBy: signersOf(found),
      latest: found.image.latest,
    }),
    ...(durationMs !== undefined && { durationMs }),
    ...(found && { dependencies: children.flatMap(({ imageId }) => imageId ?? []) }),
  };
}

function statusOf({ found, error, cancelled }: ImageNode): OutcomeStatus {
  if (cancelled) return 'cancelled';
  if (error || !found) return 'failed';
  return found.status;
}

/** The error of a node that had not ended when its batch was stopped. @param reason - the reason of the signal. */
export function cancelledBy(reason: unknown): ImageError<'CANCELLED'> {
  if (hasCode(reason, 'CANCELLED')) return reason;
  return new ImageError('CANCELLED', 'it was stopped before its end', { reason: 'aborted' }, { cause: reason });
}

/**
 * The error of a node whose child failed: the one of the first failed child. All nodes above a failed image get the same error,
 * which names that image.
 */
export function dependencyError<F>({ children }: ImageNode<F>): ImageError | undefined {
  const failed = children.find((child) => child.error);
  if (!failed?.error || hasCode(failed.error, 'DEPENDENCY_FAILED') || hasCode(failed.error, 'CLOSED'))
    return failed?.error;
  const dependency = formatReference(failed.reference);
  const { code, message } = failed.error;
  const what = `it needs ${show(dependency)}, which failed: ${code}: ${message}`;
  return new ImageError('DEPENDENCY_FAILED', what, { dependency }, { cause: failed.error });
}

/** Counts settled nodes, and requests that cannot be parsed. */
export function createTotals(): {
  /** Counts the blobs of an image that has come. @returns what has to be kept until its node has settled */
  take(found: Found): Found;
  add(node: ImageNode): void;
  addInvalid(): void;
  read(rest: Rest): Totals;
} {
  const count: Record<OutcomeStatus, number> = { fetched: 0, present: 0, failed: 0, cancelled: 0 };
  let nodes = 0;
  let bytesDownloaded = 0;
  let bytesStored = 0;
  const counted = new Set<string>();
  /** Two references may stand for the same archive, and two images have the same layer. */
  const addOnce = (id: string, bytes: number): void => {
    if (counted.has(id)) return;
    counted.add(id);
    bytesStored += bytes;
  };
  return {
    take({ blobs, ...found }) {
      blobs?.forEach((bytes, digest) => addOnce(digest, bytes));
      return found;
    },
    add(node) {
      nodes += 1;
      count[statusOf(node)] += 1;
      bytesDownloaded += node.found?.bytesDownloaded ?? 0;
      if (node.found?.status === 'fetched') addOnce(node.found.image.imageId, node.found.image.size);
    },
    addInvalid() {
      nodes += 1;
      count.failed += 1;
    },
    read({ images, ...rest }) {
      const { cancelled, ...others } = count;
      return { images, nodes, ...others, blocked: 0, cancelled, bytesDownloaded, bytesStored, ...rest };
    },
  };
}

type Rest = Pick<Totals, 'images' | 'requests' | 'retries' | 'durationMs'>;
