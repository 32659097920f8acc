import type { ImageError } from '../errors.ts';
import type { HostTraffic, Outcome, Totals } from '../events.ts';
import { asReadOnly, type FetchContext } from '../fetchers/context.ts';
import { type Planned, signersOf } from '../fetchers/found.ts';
import { planImage } from '../fetchers/plan.ts';
import type { Dependency } from '../image/manifest.ts';
import { formatReference } from '../image/reference.ts';
import type { ImageNode } from './node.ts';
import { noOutcome } from './outcome.ts';
import { type BatchRequest, walk } from './walk.ts';

type PlanOptions = {
  readonly context: FetchContext;
  readonly withDeps: boolean;
  readonly signal: AbortSignal;
  /** Called with the outcome of each request and each dependency as soon as it is known, of a node after those of its children. */
  readonly onOutcome: (outcome: PlanOutcome) => void;
};

/** Finds out what a batch would do, without doing it. Does not reject if an image fails; a bug rejects. */
export async function planBatch(
  requests: readonly BatchRequest[],
  { context, withDeps, signal, onOutcome }: PlanOptions,
): Promise<PlanTotals> {
  const { nowMs, limits, tally, traffic, store } = context;
  const startedMs = nowMs();
  const reading = asReadOnly(context);
  const totals = createPlanTotals(context.concurrency.jobs);
  const ids = new Map<ImageNode<Planned>, number>();
  let known = 0;
  const idOf = (node: ImageNode<Planned>): number => {
    const id = ids.get(node) ?? known++;
    ids.set(node, id);
    return id;
  };
  const isExplored = ({ found }: ImageNode<Planned>): boolean =>
    found !== undefined && (!withDeps || namesDependencies(found));

  await walk<Planned>(
    requests,
    {
      ...{ limits, failFast: false, nowMs },
      visit: (request, _early, stop) => planImage(reading, request, stop),
      imageIdOf: (found) => (found.status === 'present' ? found.image.imageId : undefined),
      dependenciesOf: (found) => (withDeps ? dependenciesOf(found) : []),
      onSettled(node) {
        totals.add(node, isExplored(node));
        for (const outcome of planOutcomes(node, { idOf, isExplored })) onOutcome(outcome);
      },
      onInvalid({ index, text, error }) {
        totals.addInvalid();
        onOutcome({ id: known++, reference: text, index, status: 'failed', error });
      },
    },
    signal,
  );
  const diskFree = await store.freeBytes().catch(() => undefined);
  return totals.read({
    images: requests.length,
    ...tally,
    ...(diskFree !== undefined && { diskFree }),
    quotas: traffic.read().flatMap(quotaPlan),
    durationMs: nowMs() - startedMs,
  });
}

/** Whether the dependencies are known: those of a remote image are not, until it is fetched. */
function namesDependencies(found: Planned): boolean {
  return found.status === 'present' || found.manifest !== undefined;
}

function dependenciesOf(found: Planned): readonly Dependency[] {
  return found.status === 'present' ? found.image.dependencies : (found.manifest?.dependencies ?? []);
}

/** What a plan says of one image: the store has it (`present`), or a fetch would download it (`absent`). */
export type PlanStatus = PlanOutcome['status'];

/** What a fetch would do for one request or one dependency. Which facts it has depends on `status`, as in an Outcome. */
export type PlanOutcome = PlanFacts &
  (
    | {
        /** It is in the store, with the image ID or the digest `imageID`. It has no `error`. */
        readonly status: 'present';
        readonly imageID: string;
        readonly error?: undefined;
      }
    | {
        /** A fetch would download it. It has no `error`. */
        readonly status: 'absent';
        readonly error?: undefined;
      }
    | {
        /** A fetch would fail, with `error`. */
        readonly status: 'failed';
        readonly error: ImageError;
      }
    | {
        /** The plan was stopped before this was known; the cause of `error` is the reason of the signal. */
        readonly status: 'cancelled';
        readonly error: ImageError<'CANCELLED'>;
      }
  );

/** The facts that the outcome of a plan may have, whatever its status. */
export type PlanFacts = Pick<
  Outcome,
  'reference' | 'index' | 'imageID' | 'name' | 'labels' | 'digest' | 'source' | 'signedBy' | 'latest' | 'dependencies'
> & {
  /** Identifies the node of the plan; requests for the same image have the same one. */
  readonly id: number;
  /** The number of bytes that a fetch would download; absent if the server does not say. */
  readonly bytesToFetch?: number;
  /** The URL or path of the signature that a fetch would check; it exists. */
  readonly signature?: string;
  /** The `id`s of its dependencies, in the order of the manifest; absent if the manifest is only in a remote archive. */
  readonly needs?: readonly number[];
};

/** `images` counts requests; all other counts are of nodes. */
export type PlanTotals = Pick<Totals, 'images' | 'nodes' | 'present' | 'failed' | 'cancelled'> &
  Pick<Totals, 'requests' | 'retries' | 'durationMs'> & {
    /** Nodes that a fetch would download. */
    readonly absent: number;
    /** The sum of the known sizes; each URL and each layer counts once. */
    readonly bytesToFetch: number;
    /** The number of absent nodes whose size is unknown. */
    readonly unknownSizes: number;
    /** The number of absent nodes whose dependencies are unknown. */
    readonly unknownDependencies: number;
    /** The number of different URLs and blobs to download. */
    readonly blobs: number;
    /** Bytes that the absent images need, and that are in the store or counted for another of them. */
    readonly bytesShared: number;
    /** Bytes of the disk that a fetch needs at least, with the archives that it makes; those of unknown size are not in it. */
    readonly diskNeeded: number;
    /** The same for as many images at a time as there may be, where what is packed becomes three times as large, which is usual. */
    readonly diskExpected: number;
    /** Bytes that are free on the disk of the store, beyond 1 MiB for its index; absent if the system does not say. */
    readonly diskFree?: number;
    /** Bytes that are missing: the fetch does not fit. Absent if it may. */
    readonly diskMissing?: number;
    /** Requests that a fetch sends if none has to be repeated: those of the plan, and one for each blob. */
    readonly requestsNeeded: number;
    /** The registries that tell how many requests they allow. */
    readonly quotas: readonly PlanQuota[];
  };

/** What a registry allows, as it said itself, and how much of it a fetch uses. */
export type PlanQuota = {
  /** `host[:port]`. */
  readonly host: string;
  /** Requests in `windowSeconds`. */
  readonly limit: number;
  /** Requests that are left. */
  readonly remaining?: number;
  /** The time that the limit is for. */
  readonly windowSeconds?: number;
  /** Requests that a fetch sends and that count: as many as the plan has sent. */
  readonly needed: number;
};

function quotaPlan({ host, quota, counted }: HostTraffic): readonly PlanQuota[] {
  return quota ? [{ host, ...quota, needed: counted }] : [];
}

type PlanView = {
  readonly idOf: (node: ImageNode<Planned>) => number;
  /** Whether the dependencies of the node are known. */
  readonly isExplored: (node: ImageNode<Planned>) => boolean;
};

/** The outcomes of a settled node: one for each request for it, or one if it is only a dependency. */
function planOutcomes(node: ImageNode<Planned>, view: PlanView): readonly [PlanOutcome, ...PlanOutcome[]] {
  const about = (request: Pick<PlanOutcome, 'reference' | 'index'>) =>
    outcomeOf(node, { ...request, ...factsOf(node, view) });
  const [first, ...others] = node.requests.map(({ index, text }) => about({ reference: text, index }));
  return first ? [first, ...others] : [about({ reference: formatReference(node.reference) })];
}

function outcomeOf({ found, error, cancelled }: ImageNode<Planned>, facts: PlanFacts): PlanOutcome {
  if (cancelled) return { ...facts, status: 'cancelled', error: cancelled };
  if (!found || error) return { ...facts, status: 'failed', error: error ?? noOutcome() };
  if (found.status === 'absent') return { ...facts, status: 'absent' };
  return { ...facts, status: 'present', imageID: found.image.imageId };
}

function factsOf(node: ImageNode<Planned>, { idOf, isExplored }: PlanView): Omit<PlanFacts, 'reference' | 'index'> {
  const { found, children } = node;
  return {
    id: idOf(node),
    ...(found && (found.status === 'present' ? imageFacts(found) : remoteFacts(found))),
    ...(isExplored(node) && {
      dependencies: children.flatMap(({ imageId }) => imageId ?? []),
      needs: children.map(idOf),
    }),
  };
}

function imageFacts(found: Planned & { readonly status: 'present' }) {
  const { imageId, name, labels, digest, source, latest } = found.image;
  const facts = { imageID: imageId, name, labels: Object.fromEntries(labels), digest, source, latest };
  return { ...facts, signedBy: signersOf(found), bytesToFetch: 0 };
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

function planStatus({ found, error, cancelled }: ImageNode<Planned>): PlanStatus {
  if (cancelled) return 'cancelled';
  return error || !found ? 'failed' : found.status;
}

type Rest = Pick<PlanTotals, 'images' | 'requests' | 'retries' | 'durationMs' | 'diskFree' | 'quotas'>;

/** How much larger what is packed usually becomes. */
const usualRatio = 3;

/** Counts settled nodes. @param jobs - the most transfers at a time */
function createPlanTotals(jobs: number): {
  add(node: ImageNode<Planned>, isExplored: boolean): void;
  addInvalid(): void;
  read(rest: Rest): PlanTotals;
} {
  const count: Record<PlanStatus, number> = { present: 0, absent: 0, failed: 0, cancelled: 0 };
  const counted = new Set<string>();
  let nodes = 0;
  let bytesToFetch = 0;
  let unknownSizes = 0;
  let unknownDependencies = 0;
  let registryBlobs = 0;
  let bytesShared = 0;
  let partsKept = 0;
  const temporaries: number[] = [];
  let archivesLeast = 0;
  let archivesExpected = 0;

  /** Counts an URL or a layer once: two names may have the same URL, and two images the same layer. */
  const addOnce = (what: string, bytes: number | undefined): void => {
    if (counted.has(what)) {
      bytesShared += bytes ?? 0;
      return;
    }
    counted.add(what);
    if (bytes === undefined) unknownSizes += 1;
    else bytesToFetch += bytes;
  };

  return {
    add(node, isExplored) {
      const { found } = node;
      nodes += 1;
      count[planStatus(node)] += 1;
      if (found?.status !== 'absent') return;
      const isAnother = found.url !== undefined && !found.parts && counted.has(found.url);
      if (found.archive && !isAnother) {
        const { leastBytes, isKnown, temporaryBytes } = found.archive;
        archivesLeast += leastBytes;
        archivesExpected += isKnown ? leastBytes : leastBytes * usualRatio;
        temporaries.push(temporaryBytes);
        partsKept += found.archive.keptBytes ?? 0;
      }
      bytesShared += found.bytesInStore ?? 0;
      const [blobsBefore, bytesBefore] = [counted.size, bytesToFetch];
      if (found.parts) {
        found.parts.forEach((bytes, digest) => addOnce(digest, bytes));
        registryBlobs += counted.size - blobsBefore;
        if (!found.archive?.isAlone) partsKept += bytesToFetch - bytesBefore;
      } else if (found.url !== undefined) addOnce(found.url, found.bytesToFetch);
      if (!isExplored) unknownDependencies += 1;
    },
    addInvalid() {
      nodes += 1;
      count.failed += 1;
    },
    read({ images, diskFree, quotas, ...rest }) {
      const largestFirst = temporaries.toSorted((one, other) => other - one);
      const diskNeeded = partsKept + archivesLeast + (largestFirst.at(-1) ?? 0); // those of the last image
      const diskExpected =
        partsKept + archivesExpected + largestFirst.slice(0, jobs).reduce((sum, bytes) => sum + bytes, 0);
      const isTooMuch = diskFree !== undefined && diskNeeded > diskFree;
      return {
        ...{ images, nodes, ...count },
        ...{ bytesToFetch, unknownSizes, unknownDependencies },
        ...{ blobs: counted.size, bytesShared, diskNeeded, diskExpected },
        ...(diskFree !== undefined && { diskFree }),
        ...(isTooMuch && { diskMissing: diskNeeded - diskFree }),
        ...{ requestsNeeded: rest.requests + registryBlobs, quotas, ...rest },
      };
    },
  };
}
