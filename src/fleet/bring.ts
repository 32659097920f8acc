import { asImageError, type ErrorCode, hasCode, ImageError, isImageError } from '../errors.ts';
import type { FailedOutcome, Outcome } from '../events.ts';
import type { App } from '../image/apps.ts';
import type { Digest } from '../image/digest.ts';
import type { BatchResult, Finder, LockedImage, PushOutcome } from '../internal.ts';
import type { Batch } from './batch.ts';
import { type Ending, maxTries, type Taken } from './image-queues.ts';
import type { UrlValidators } from './result.ts';

/** What findImages may be given. */
type FindCall = NonNullable<Parameters<Finder['findImages']>[1]>;

/** What a worker says of an image that is done. */
export type ImageReport = {
  /** The place of the image in its batch. */
  readonly index: number;
  /** Of the image. `index` in it is that of the image, as in a fetch of the whole batch. */
  readonly outcome: Outcome;
  /** Of what it depends on. */
  readonly nodes: readonly Outcome[];
  /** `HOST/REPOSITORY@sha256:…`: where it was pushed. */
  readonly pushed?: string;
  /** By reference as a lock file has it: what was brought. */
  readonly locked: readonly (readonly [reference: string, image: LockedImage])[];
  /** Of archives in a batch for everywhere: so who copies them asks their origin later whether they have changed. */
  readonly validators?: readonly UrlValidators[];
  /** How often workers began with it. */
  readonly tries: number;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
};

/** What brings the images of one batch, given by who composes the worker. */
export type ImageTools = AsyncDisposable & {
  /** Finds images in the store, or fetches them, with the choices of the batch. */
  findImages(this: void, apps: Iterable<App>, call: FindCall): Promise<BatchResult>;
  /** The same, but from the store alone. Absent where the network is to be asked in any case. */
  readonly findStored?: ((apps: Iterable<App>, call: FindCall) => Promise<BatchResult>) | undefined;
  /** Pushes an image of the store to where the batch wants it. */
  pushImage(image: string, signal: AbortSignal): Promise<PushOutcome>;
  /** What the store knows of the URLs of archives that were brought. */
  validatorsOf?(this: void, locked: ImageReport['locked']): Promise<readonly UrlValidators[]>;
  /** Notes them for archives that came from other workers, which do not say that themselves. */
  noteValidators?(this: void, validators: readonly UrlValidators[]): Promise<void>;
  /** Absent where workers do not reach each other. */
  readonly copying?: Copying | undefined;
};

/** How a worker gets copies of images that others have brought. */
export type Copying = {
  /** Has what belongs to an image asked of workers that have it, and of nobody else. @returns undefined if none of them is there */
  readonly fromWorkers: (workers: readonly string[], documents: readonly Digest[]) => Promise<ImageSharing | undefined>;
  /** Has it asked of whoever may have it, and then of its registry: by one worker, for which the others wait. */
  readonly fromAnywhere: () => ImageSharing;
};

/** How workers share the blobs of an image. */
export type ImageSharing = {
  readonly sharing?: FindCall['sharing'];
  /** Called when the image is delivered or given up, so that others who wait for its blobs go on. */
  end(this: void, isDelivered: boolean): Promise<void>;
};

export type BringContext = {
  readonly batch: Batch;
  readonly tools: ImageTools;
  readonly locks: BatchLocks;
  share(index: number): ImageSharing;
  /** Notes that this process begins with an image. @returns false if some worker has reported it */
  begin(index: number): Promise<boolean>;
  /** Reports an image, unless some worker did. */
  report(this: void, report: ImageReport): Promise<void>;
  /** Called when this worker cannot work, whatever the image. */
  onOwnFailure(error: ImageError): void;
  /** Called when an image was brought: this worker can work. */
  onSuccess(): void;
  /** Images that workers were lost with, of which a worker works on one at a time. */
  readonly suspects: Set<string>;
  readonly nowMs: () => number;
};

/** Failures that another try may mend, by this worker or another one. */
const passing: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  ...(['NETWORK', 'TIMEOUT', 'STALLED', 'LENGTH_MISMATCH', 'RESPONSE_INVALID', 'RATE_LIMITED'] as const),
  ...(['STORE_BUSY', 'STORE_FULL', 'STORE_READ_ONLY', 'STORE_CORRUPT', 'STORE_VERSION', 'CLOSED'] as const),
]);

/** Workers are lost with an image so often before that may be its fault. */
const maxLosses = 3;
/** So often at most, however many others were lost. */
const mostLosses = 10;
/** An image that so many times a worker was too full or too small for is too large for the fleet. */
const mostReturns = 10;

/**
 * Brings one image of a batch, delivers it and reports that. To do so twice harms nothing: store and registries decide by digest, and who
 * reports first is believed.
 */
export async function bringImage(context: BringContext, taken: Taken): Promise<Ending> {
  const { batch, suspects } = context;
  const { index, losses } = taken;
  const suspect = `${batch.id}-${index}`;
  if (losses > 0) {
    if (suspects.size > 0) return 'later'; // one at a time, so that none of them is suspected for what another does
    suspects.add(suspect);
  }
  try {
    if (!(await context.begin(index))) return 'done';
    if (losses >= maxLosses && (losses >= mostLosses || losses * 2 >= (await taken.lostWorkers()))) {
      await context.report(givenUp(context, taken));
      return 'done';
    }
    return await bring(context, taken);
  } finally {
    if (losses > 0) suspects.delete(suspect);
  }
}

async function bring(context: BringContext, taken: Taken): Promise<Ending> {
  const { index, failures, losses, signal } = taken;
  const startedAtMs = context.nowMs();
  const shared = context.share(index);
  let isDelivered = false;
  try {
    const found = await findAndPush(context, { index, sharing: shared.sharing }, signal);
    const { status, error } = found.outcome;
    if (status === 'cancelled' || signal.aborted) return 'released';
    isDelivered = status !== 'failed';
    if (error) {
      if (isOfThisWorker(error)) {
        context.onOwnFailure(error);
        if ((await taken.giveBack()) < mostReturns) return 'released';
      }
      if (failures + 1 < maxTries && mayMend(error)) return 'failed';
      if (!(await taken.isOurs())) return 'done'; // whoever has it now may succeed
    }
    const tries = failures + losses + 1;
    const { batch, tools } = context;
    const validators = batch.use === 'everywhere' ? await tools.validatorsOf?.(found.locked) : undefined;
    const known = validators && validators.length > 0 && { validators };
    await context.report({ index, ...found, ...known, tries, startedAtMs, endedAtMs: context.nowMs() });
    if (isDelivered) context.onSuccess();
    return 'done';
  } finally {
    await shared.end(isDelivered);
  }
}

type Found = Pick<ImageReport, 'outcome' | 'nodes' | 'pushed' | 'locked'>;

/** Finds an image, and pushes it where the batch wants that. Never throws for what concerns the image. */
export async function findAndPush(
  {
    batch,
    tools,
    locks,
  }: Pick<BringContext, 'batch' | 'locks'> & {
    readonly tools: Pick<ImageTools, 'findImages' | 'pushImage'>;
  },
  { index, sharing }: Pick<One, 'index' | 'sharing'>,
  signal: AbortSignal,
): Promise<Found> {
  const image = batch.images[index];
  const found = await findOne(tools.findImages, batch, { index, sharing, lock: locks(index), signal });
  if (!image || batch.to === undefined || found.outcome.error) return found;
  const pushed = await tools.pushImage(image.image, signal).catch(asImageError);
  const { error, ...facts } = isImageError(pushed) ? { error: pushed } : pushed;
  if (error) return { ...found, outcome: { ...found.outcome, status: 'failed', error } };
  return { ...found, ...('pushed' in facts && facts.pushed !== undefined && { pushed: facts.pushed }) };
}

type One = {
  readonly index: number;
  readonly sharing?: ImageSharing['sharing'];
  readonly lock: ImageLocks;
  readonly signal: AbortSignal;
};

/** What an image, and what it depends on, must be. */
type ImageLocks = { readonly frozen: boolean; readonly images: ReadonlyMap<string, LockedImage> };
export type BatchLocks = (index: number) => ImageLocks;

/** What the lock of a batch says of each image: of one of a registry its own entry, since a batch may have many. */
export function batchLocks({ images, lock }: Pick<Batch, 'images' | 'lock'>): BatchLocks {
  const frozen = lock?.frozen ?? false;
  const entries = Object.entries(lock?.images ?? {});
  const ofArchives = new Map(entries.filter(([reference]) => !reference.startsWith('docker:')));
  return (index) => {
    const { image, type } = images[index] ?? {};
    if (type !== 'docker' || image === undefined) return { frozen, images: ofArchives };
    const own = lock && Object.hasOwn(lock.images, image) ? lock.images[image] : undefined;
    return { frozen, images: new Map(own ? [[image, own]] : []) };
  };
}

/** Has one image of a batch found. Never throws for what concerns the image. */
export async function findOne(
  find: ImageTools['findImages'],
  batch: Pick<Batch, 'images'>,
  { index, sharing, lock, signal }: One,
): Promise<Found> {
  const image = batch.images[index];
  if (!image) throw new RangeError(`the batch has no image ${index}`);
  const brought: [string, LockedImage][] = [];
  const nodes: Outcome[] = [];
  const { outcomes } = await find([{ ...image }], {
    ...{ signal, sharing },
    lock: {
      ...lock,
      onFound: (reference, _id, one) => void brought.push([reference, one]),
    },
    onOutcome: (outcome) => {
      if (outcome.index === undefined) nodes.push(outcome);
    },
  });
  const [outcome] = outcomes;
  if (!outcome) throw new ImageError('INTERNAL', 'no outcome', { what: 'no outcome' });
  return { outcome: { ...outcome, index }, nodes, locked: brought };
}

/** Of an error that came through a dependency, what it came from. */
function rootOf(error: ImageError): ImageError {
  return error.code === 'DEPENDENCY_FAILED' && isImageError(error.cause) ? rootOf(error.cause) : error;
}

/** Whether another try may mend a failure. */
export function mayMend(error: ImageError): boolean {
  const root = rootOf(error);
  if (root.code === 'HTTP_STATUS') return 'status' in root.details && isPassing(root.details.status);
  return passing.has(root.code);
}

/** Statuses of servers that are overloaded or restarted. */
function isPassing(status: number): boolean {
  return status >= 500 || status === 408 || status === 425 || status === 429;
}

/** Whether a failure says something of this worker, and nothing of the image: its store, its disk or its memory. */
function isOfThisWorker(error: ImageError): boolean {
  const root = rootOf(error);
  if (hasCode(root, 'STORE_FULL')) return root.details.errno !== 'EFBIG'; // a disk or a process may bear no file of this size
  if (hasCode(root, 'LIMIT_EXCEEDED')) return root.details.limit === 'heap';
  return root.code.startsWith('STORE_') || root.code === 'CLOSED';
}

function givenUp({ batch, nowMs }: BringContext, { index, losses }: Taken): ImageReport {
  const reference = batch.images[index]?.image ?? '';
  const message = `${losses} workers were lost while they brought it, so it is given up`;
  const error = new ImageError('WORKERS_LOST', message, { tries: losses });
  const now = nowMs();
  const outcome: FailedOutcome = { reference, index, status: 'failed', error };
  return { index, outcome, nodes: [], locked: [], tries: losses, startedAtMs: now, endedAtMs: now };
}
