import { availableParallelism } from 'node:os';

import { type Batch, createBatches } from './batches.ts';
import { concurrencyOf, type OpenContext, openContext } from './compose.ts';
import { cancelledBy } from './coordinator/outcome.ts';
import { asImageError, ImageError } from './errors.ts';
import type { PushOutcome, PushTotals } from './events/push.ts';
import type { FetchContext } from './fetchers/context.ts';
import type { ImageType } from './image/apps.ts';
import { withoutSecrets } from './image/reference.ts';
import { listImages } from './images/list.ts';
import { resolveEntries } from './images/resolve-image.ts';
import type { FetchSettings } from './options.ts';
import { openPool, type Pool } from './pool/pool.ts';
import type { PushContext } from './push/context.ts';
import type { PushRequest } from './push/push-batch.ts';
import {
  type Destination,
  newTargetRegistry,
  parseDestination,
  requireDistinct,
  targetOf,
  type TargetRegistry,
} from './push/targets.ts';
import type { RegistryImage } from './store/registry-store.ts';
import type { Store } from './store/store.ts';

/** An image to push, by whatever finds it in the store: a reference, a digest, an ID, a name. */
export type PushInput = {
  /** As the store lists it, or as it was asked for when it was fetched. */
  readonly image: string;
  /** `docker`: the reference of an image of a registry, also without `docker://`. Otherwise the form of `image` decides. */
  readonly type?: ImageType | undefined;
  /** It is one of many: an archive, which is nothing for a registry, is skipped. Default: it fails. */
  readonly skipsArchives?: boolean | undefined;
};

/** How images are pushed: the settings of a fetch that are about the network. */
export type PushSettings = Pick<
  FetchSettings,
  | 'headers'
  | 'dockerCredentials'
  | 'registryCredentials'
  | 'insecure'
  | 'mirrors'
  | 'certificates'
  | 'ca'
  | 'connectTo'
  | 'denyNet'
  | 'proxy'
  | 'transport'
  | 'retries'
  | 'timeouts'
  | 'limits'
  | 'limitRate'
  | 'limitRates'
  | 'minRate'
  | 'jobs'
  | 'jobsPerHost'
  | 'workers'
  | 'failFast'
  | 'onEvent'
>;

/** What a pusher works with, and how. */
export type PusherOptions = PushSettings & {
  readonly store: Store;
  readonly pool?: Pool | undefined;
  /** What the threads run, as a URL, where no pool is given; default our own. */
  readonly workerFile?: string | undefined;
};

/** What pushImages may be given. */
export type PushCall = {
  /** Where to: `docker://HOST[:PORT][/PREFIX]`. */
  readonly to: string;
  /** All registry images of the store are pushed, after those that are named. Default false. */
  readonly all?: boolean | undefined;
  /** The hosts that images are from become a part of their names at the target. Default false. */
  readonly scoped?: boolean | undefined;
  /** A tag that the target has with another digest is not moved: that image fails. Default false. */
  readonly noOverwrite?: boolean | undefined;
  /** Nothing is sent or asked: the outcomes say what would be pushed where. Default false. */
  readonly dryRun?: boolean | undefined;
  /** Stops the push: what has not ended has the outcome `cancelled`, and the call resolves. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Called with the outcome of each image as soon as it is known, in any order. What it throws, or rejects with, ends the push
   * with that error; a promise that it returns is awaited.
   */
  readonly onOutcome?: ((outcome: PushOutcome) => unknown) | undefined;
};

/** What pushImages returns. */
export type PushResult = {
  /** One for each image, in the order of the images. */
  readonly outcomes: readonly PushOutcome[];
  /** Counts of the whole push. */
  readonly totals: PushTotals;
};

/** Pushes images of a store into registries. */
export type Pusher = AsyncDisposable & {
  /**
   * Pushes images. Does not reject if one fails.
   *
   * @throws USAGE before anything is sent: for a target that is none, and if two images would get the same name there.
   */
  pushImages(images: Iterable<string | PushInput>, call: PushCall): Promise<PushResult>;
  close(): Promise<void>;
};

export function createPusher(options: PusherOptions): Pusher {
  const batches = createBatches('pusher', options.onEvent);
  const pool = options.pool ?? openHashingPool(options);
  const context = openContext({ ...options, pool }, batches.onEvent);
  batches.throwIfFailed();
  const registries = new Map<string, TargetRegistry>();
  const closed = [context.store.closed, pool.closed];
  let closing: Promise<void> | undefined;
  const shut = async (): Promise<void> => {
    await batches.close();
    await context.close();
    if (pool !== options.pool) await pool.close();
  };
  const close = (): Promise<void> => (closing ??= shut());
  return {
    pushImages: (images, call) =>
      batches.run({ signal: call.signal, closed }, (batch) =>
        pushAll({ context, registries }, options, [...images], call, batch),
      ),
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Files that one thread hashes in turns: a thread takes longer to start than most of them. */
const hashesPerThread = 8;

function openHashingPool(options: PusherOptions): Pool {
  const { workers } = concurrencyOf({ ...options, workers: options.workers ?? availableParallelism() });
  return openPool({ workers, sessionsPerWorker: hashesPerThread, filename: options.workerFile });
}

async function pushAll(
  { context, registries }: { readonly context: OpenContext; readonly registries: Map<string, TargetRegistry> },
  { failFast = false }: PusherOptions,
  images: readonly (string | PushInput)[],
  call: PushCall,
  { signal, onEvent, call: guard }: Batch,
): Promise<PushResult> {
  const destination = parseDestination(call.to, 'to');
  const requests = await selectRequests(context.store, images, call, destination);
  const { pushBatch } = await import('./push/push-batch.ts'); // loads zod, which no other command on the store needs
  const registry = registries.get(destination.host) ?? newTargetRegistry();
  registries.set(destination.host, registry);
  const outcomes: PushOutcome[] = [];
  const totals = await context.withBatch({ onEvent }, async (own) =>
    pushBatch(requests, {
      context: await pushContextOf(own),
      ...{ target: call.to, registry, noOverwrite: call.noOverwrite ?? false, dryRun: call.dryRun ?? false },
      ...{ failFast, signal, cancelledBy },
      onOutcome(outcome) {
        outcomes[outcome.index] = outcome;
        guard(() => call.onOutcome?.(outcome));
      },
    }),
  );
  return { outcomes, totals };
}

async function pushContextOf(context: FetchContext): Promise<PushContext> {
  const { store, pool, slots, concurrency, limits, onEvent, tally, traffic, nowMs, registries } = context;
  return {
    ...{ store, slots, concurrency, onEvent, tally, traffic, nowMs, retryAfterMs: limits.retryAfter },
    client: await registries.client(),
    hashFile: (path, size) => pool.run('reHash', { path, algorithm: 'sha256', size }),
  };
}

/** Finds the images, and where they go. @throws USAGE if two would get the same name */
async function selectRequests(
  store: Store,
  images: readonly (string | PushInput)[],
  { all = false, scoped = false }: PushCall,
  destination: Destination,
): Promise<readonly PushRequest[]> {
  type Selected = PushRequest extends infer R ? (R extends PushRequest ? Omit<R, 'index'> : never) : never;
  const selected: Selected[] = [];
  const select = (reference: string, image: RegistryImage): void => {
    try {
      selected.push({ reference, image, target: targetOf(image.reference, destination, scoped) });
    } catch (error) {
      selected.push({ reference, status: 'failed', error: asImageError(error) });
    }
  };
  for (const input of images) {
    const {
      image: reference,
      type = 'guess',
      skipsArchives = false,
    }: PushInput = typeof input === 'string' ? { image: input } : input;
    try {
      const found = await findRegistryImages(
        store,
        type === 'docker' ? `docker://${reference.replace(/^docker:\/\//i, '')}` : reference,
      );
      for (const image of found) select(reference, image);
      if (found.length === 0 && skipsArchives) selected.push({ reference, status: 'skipped' });
      else if (found.length === 0) throw archiveError(reference);
    } catch (error) {
      selected.push({ reference, status: 'failed', error: asImageError(error) });
    }
  }
  if (all) {
    for await (const entry of listImages(store)) {
      if (entry.kind === 'registry') select(entry.image.reference, entry.image);
      else selected.push({ reference: entry.id, status: 'skipped' });
    }
  }
  requireDistinct(
    selected.flatMap((one) => (one.image ? [{ reference: one.image.reference, target: one.target }] : [])),
  );
  return selected.map((one, index) => ({ ...one, index }));
}

/** The registry images that a text stands for; an archive stands for those that it was made of. */
async function findRegistryImages(store: Store, asked: string): Promise<readonly RegistryImage[]> {
  const entries = await resolveEntries(store, asked);
  return entries.flatMap((entry) => (entry.kind === 'registry' ? [entry.image] : []));
}

function archiveError(asked: string): ImageError<'NOT_IN_STORE'> {
  const message = 'it is an archive (ACI), which a registry does not take, and the store has no registry image of it';
  return new ImageError('NOT_IN_STORE', message, { asked: withoutSecrets(asked), of: 'archives-only' });
}
