import { type Batch, createBatches } from './batches.ts';
import { type OpenContext, openContext } from './compose.ts';
import type { PlanOutcome } from './coordinator/plan-batch.ts';
import { ImageError } from './errors.ts';
import type { Outcome, OutcomeStatus } from './events.ts';
import type { FetchContext } from './fetchers/context.ts';
import { lockedImages } from './fetchers/lock.ts';
import type { App } from './image/apps.ts';
import { type Digest, isDigest } from './image/digest.ts';
import { type ImageId, parseImageId } from './image/image-id.ts';
import { parseReference } from './image/reference.ts';
import { parseRegistryReference } from './image/registry-reference.ts';
import type {
  ActionOptions,
  BatchResult,
  FetchCall,
  Fetcher,
  Finder,
  PlanCall,
  PlanResult,
  SharedBatchCall,
} from './options.ts';
import { parseApps } from './parse-apps.ts';

/** Fetches images into the store. It refuses image IDs, which only the store can resolve. */
export function createFetcher(options: ActionOptions): Fetcher {
  const finder = openFinder(options, 'fetcher');
  return {
    async fetchImage(image, call = {}) {
      const type = call.type ?? 'guess';
      if (parseReference(image, { type, directory: process.cwd(), isFile: () => false }).kind === 'id') {
        const what = "an image ID can't be fetched; expected a URL, a path or an image name";
        throw new ImageError('REFERENCE_INVALID', what, { input: image });
      }
      return finder.findImage(image, call);
    },
    close: () => finder.close(),
    [Symbol.asyncDispose]: () => finder.close(),
  };
}

/** Finds images in the store, if the policy allows that, and fetches all others. */
export function createFinder(options: ActionOptions): Finder {
  return openFinder(options, 'finder');
}

function openFinder(options: ActionOptions, what: 'finder' | 'fetcher'): Finder {
  const batches = createBatches(what, options.onEvent);
  const context = openContext(options, batches.onEvent);
  batches.throwIfFailed();
  const closed = [context.store.closed, context.pool.closed];

  const find = (apps: Iterable<App>, call: SharedBatchCall): Promise<BatchResult> =>
    batches.run({ signal: call.signal, closed }, (batch) => findAll(context, options, apps, call, batch));

  const plan = (apps: Iterable<App>, call: PlanCall): Promise<PlanResult> =>
    batches.run({ signal: call.signal, closed }, async (batch) => {
      return context.withBatch(batch, (own) => planApps(own, options, apps, call, batch));
    });

  /** Of no batch, since it comes before one. */
  const listTagsOf = async (repository: string, signal = new AbortController().signal): Promise<readonly string[]> => {
    const { listTags } = await import('./registry/list-tags.ts'); // few lists choose tags
    const where = parseRegistryReference(repository);
    return context.withBatch(batches, async ({ registries }) => listTags(await registries.client(), where, signal));
  };

  /** Of no batch, since nothing is found or fetched. */
  const resolveDigest = async (image: string, signal = new AbortController().signal): Promise<Digest> => {
    const { currentDigest } = await import('./registry/documents.ts'); // a fetch loads it when it is needed
    const { digest, tag = 'latest', ...where } = parseRegistryReference(image);
    if (digest !== undefined && isDigest(digest)) return digest;
    return context.withBatch(batches, async ({ registries }) =>
      currentDigest(await registries.client(), where, tag, undefined, signal),
    );
  };

  let closing: Promise<void> | undefined;
  const shut = async (): Promise<void> => {
    await batches.close();
    await context.close();
  };
  const close = (): Promise<void> => (closing ??= shut());

  return {
    async findImage(image, { signature, type, signal }: FetchCall = {}) {
      const app = { image, ...(signature !== undefined && { signature }), ...(type && { type }) };
      const { outcomes } = await find([app], { ...(signal && { signal }) });
      return imageIdOf(outcomes[0]);
    },
    findImages: (apps, call = {}) => find(apps, call),
    planImages: (apps, call = {}) => plan(apps, call),
    importImages: (source, call = {}) =>
      batches.run({ signal: call.signal, closed }, async (batch) => {
        const { importAll } = await import('./importer.ts'); // a fetch does not need it
        return importAll(context, options, source, call, batch);
      }),
    listTags: (repository, { signal } = {}) => listTagsOf(repository, signal),
    resolve: (image, { signal } = {}) => resolveDigest(image, signal),
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function findAll(
  context: OpenContext,
  options: ActionOptions,
  apps: Iterable<App>,
  { lock, sharing, onOutcome }: SharedBatchCall,
  { signal, onEvent, call }: Batch,
): Promise<BatchResult> {
  const { withDeps = true, failFast = false } = options;
  const all = [...apps];
  const outcomes: Outcome[] = [];
  const settle = (outcome: Outcome): void => {
    const { index, status, imageID } = outcome;
    if (index !== undefined) outcomes[index] = outcome;
    call(() => {
      const app = index === undefined ? undefined : all[index];
      if (app && imageID !== undefined && isStored(status)) app.imageID = parseFoundId(imageID);
      return onOutcome?.(outcome);
    });
  };
  const guardedLock = lock && {
    frozen: lock.frozen,
    images: lockedImages(lock.images),
    onFound: (...found: Parameters<typeof lock.onFound>) => call(() => lock.onFound(...found)),
  };

  const { runBatch } = await import('./coordinator/fetch-batch.ts'); // loads the fetchers, which most commands do not need
  const totals = await context.withBatch({ onEvent }, (own) =>
    runBatch(parseApps(all, options), {
      context: sharing ? { ...own, sharing } : own,
      withDeps,
      failFast,
      lock: guardedLock,
      signal,
      onOutcome: settle,
    }),
  );
  return { outcomes, totals };
}

function imageIdOf(outcome: Outcome | undefined): ImageId | Digest {
  if (outcome?.error) throw outcome.error;
  if (outcome?.imageID !== undefined && isStored(outcome.status)) return parseFoundId(outcome.imageID);
  throw new ImageError('INTERNAL', 'no outcome', { what: 'no outcome' });
}

function parseFoundId(text: string): ImageId | Digest {
  return isDigest(text) ? text : parseImageId(text);
}

function isStored(status: OutcomeStatus): boolean {
  return status === 'fetched' || status === 'present';
}

/** Finds out what findImages would do for the apps. */
async function planApps(
  context: FetchContext,
  options: ActionOptions,
  apps: Iterable<App>,
  { onOutcome, lock }: Pick<PlanCall, 'onOutcome' | 'lock'>,
  { signal, call }: Batch,
): Promise<PlanResult> {
  const { withDeps = true } = options;
  const { planBatch } = await import('./coordinator/plan-batch.ts'); // a fetch does not need it
  const outcomes: PlanOutcome[] = [];
  const settle = (outcome: PlanOutcome): void => {
    if (outcome.index !== undefined) outcomes[outcome.index] = outcome;
    call(() => onOutcome?.(outcome));
  };
  const read = lock && { frozen: lock.frozen, images: lockedImages(lock.images), onFound: () => undefined };
  const planned = { context: read ? { ...context, lock: read } : context, withDeps, signal, onOutcome: settle };
  const totals = await planBatch(parseApps([...apps], options), planned);
  return { outcomes, totals };
}
