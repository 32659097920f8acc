import { toErrorData, type ErrorData } from '../errors.ts';
import type { Outcome, Totals } from '../events.ts';
import type { FoundImage } from '../fetchers/found.ts';
import type { Planned } from '../fetchers/planned.ts';
import { formatReference } from '../image/reference.ts';
import type { Node } from './node.ts';

/** `present`: the store has it; `absent`: a fetch would bring it. */
export type PlanStatus = 'present' | 'absent' | 'failed' | 'cancelled';

/** What a fetch would do about one request or one dependency. Fields that Outcome has as well mean the same. */
export type PlanOutcome = Pick<
  Outcome,
  'reference' | 'index' | 'imageID' | 'name' | 'labels' | 'digest' | 'source' | 'signedBy' | 'latest' | 'dependencies'
> & {
  /** Names a node of the plan: the same for all requests that ask for it. */
  readonly id: number;
  readonly status: PlanStatus;
  /** What the network still has to bring; absent when the server does not say. */
  readonly bytesToFetch?: number;
  /** URL or path of the signature that a fetch would check; it is there. */
  readonly signature?: string;
  /** The `id`s of what it depends on, in the manifest's order; absent while only the archive says that. */
  readonly needs?: readonly number[];
  readonly error?: ErrorData;
};

/** `images` counts requests; everything else counts nodes, each once. */
export type PlanTotals = Pick<Totals, 'images' | 'nodes' | 'present' | 'failed' | 'cancelled'> &
  Pick<Totals, 'requests' | 'retries' | 'durationMs'> & {
    readonly absent: number;
    /** Of all whose size is known, each URL and each layer once. */
    readonly bytesToFetch: number;
    /** Nodes that are absent, and nobody says how large. */
    readonly unknownSizes: number;
    /** Nodes whose dependencies show only when they are fetched. */
    readonly unknownDependencies: number;
  };

export type PlanView = {
  readonly idOf: (node: Node<Planned>) => number;
  /** False while nobody can say what the node depends on. */
  readonly isExplored: (node: Node<Planned>) => boolean;
};

/** What a settled node has to tell, once for each request that asked for it, once if it is only a dependency. */
export function planOutcomes(node: Node<Planned>, view: PlanView): readonly [PlanOutcome, ...PlanOutcome[]] {
  const common = outcomeOf(node, view);
  const [first, ...others] = node.requests.map(({ index, text }) => ({ reference: text, index, ...common }));
  return first ? [first, ...others] : [{ reference: formatReference(node.reference), ...common }];
}

function outcomeOf(node: Node<Planned>, { idOf, isExplored }: PlanView): Omit<PlanOutcome, 'reference'> {
  const { found, error, children } = node;
  return {
    id: idOf(node),
    status: planStatus(node),
    ...(found && (found.status === 'present' ? imageFacts(found.image) : remoteFacts(found))),
    ...(isExplored(node) && {
      dependencies: children.flatMap(({ imageId }) => imageId ?? []),
      needs: children.map(idOf),
    }),
    ...(error && { error: toErrorData(error) }),
  };
}

function imageFacts({ imageId, name, labels, digest, source, verified, latest }: FoundImage) {
  const facts = { imageID: imageId, name, labels: Object.fromEntries(labels), digest, source, latest };
  return { ...facts, signedBy: verified || [], bytesToFetch: 0 };
}

function remoteFacts({ manifest, digest, source, signature, bytesToFetch }: Planned & { readonly status: 'absent' }) {
  return {
    ...(manifest && { name: manifest.name, labels: Object.fromEntries(manifest.labels) }),
    ...(digest !== undefined && { digest }),
    source,
    ...(signature !== undefined && { signature }),
    ...(bytesToFetch !== undefined && { bytesToFetch }),
  };
}

export function planStatus({ found, error, cancelled }: Node<Planned>): PlanStatus {
  if (cancelled) return 'cancelled';
  return error || !found ? 'failed' : found.status;
}
