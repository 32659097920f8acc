import { type OpenContext, openContext } from './compose.ts';
import { ImageError } from './errors.ts';
import type { Outcome, OutcomeStatus } from './events.ts';
import type { App } from './image/apps.ts';
import { type Digest, isDigest } from './image/digest.ts';
import { type ImageId, parseImageId } from './image/image-id.ts';
import { parseReference } from './image/reference.ts';
import type {
  ActionOptions,
  BatchCall,
  BatchResult,
  FetchCall,
  Fetcher,
  Finder,
  PlanCall,
  PlanResult,
} from './options.ts';
import { parseApps } from './parse-apps.ts';

/** Fetches images into the store. It refuses image IDs, which only the store can resolve. */
export function createFetcher(options: ActionOptions): Fetcher {
  const finder = createFinder(options);
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
  const context = openContext(options);
  const closing = new AbortController();
  const running = new Set<Promise<unknown>>();

  const untilClosed = (signal: AbortSignal | undefined): AbortSignal =>
    signal ? AbortSignal.any([signal, closing.signal]) : closing.signal;

  const track = async <T>(batch: Promise<T>): Promise<T> => {
    running.add(batch);
    return batch.finally(() => running.delete(batch));
  };

  const find = (apps: Iterable<App>, call: BatchCall, signal: AbortSignal): Promise<BatchResult> =>
    track(findAll(context, options, apps, { ...call, signal }));

  const plan = (apps: Iterable<App>, call: PlanCall, signal: AbortSignal): Promise<PlanResult> =>
    track(import('./plan-apps.ts').then(({ planApps }) => planApps(context, options, apps, { ...call, signal })));

  let closed: Promise<void> | undefined;
  const shut = async (): Promise<void> => {
    closing.abort(new ImageError('CANCELLED', 'the finder was closed', { reason: 'closed' }));
    await Promise.allSettled(running);
    await context.close();
  };
  const close = (): Promise<void> => (closed ??= shut());

  return {
    async findImage(image, { signature, type, signal }: FetchCall = {}) {
      const app = { image, ...(signature !== undefined && { signature }), ...(type && { type }) };
      const stop = untilClosed(signal);
      const { outcomes } = await find([app], {}, stop);
      return imageIdOf(outcomes[0]);
    },
    findImages: (apps, call = {}) => find(apps, call, untilClosed(call.signal)),
    planImages: (apps, call = {}) => plan(apps, call, untilClosed(call.signal)),
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function findAll(
  context: OpenContext,
  { withDeps = true, failFast = false }: ActionOptions,
  apps: Iterable<App>,
  { signal, lock, onOutcome }: BatchCall & { readonly signal: AbortSignal },
): Promise<BatchResult> {
  const all = [...apps];
  const outcomes: Outcome[] = [];
  const settle = (outcome: Outcome): void => {
    const { index, status, imageID } = outcome;
    if (index !== undefined) {
      outcomes[index] = outcome;
      const app = all[index];
      if (app && imageID !== undefined && isStored(status)) app.imageID = parseFoundId(imageID);
    }
    onOutcome?.(outcome);
  };

  const { requests, invalid } = parseApps(all);
  const { runBatch } = await import('./coordinator/fetch-batch.ts'); // loads the fetchers, which most commands do not need
  const totals = await runBatch(requests, { context, withDeps, failFast, lock, signal, onOutcome: settle });
  await context.tidied();
  invalid.forEach(settle);
  const { images, nodes, failed } = totals;
  const wrong = invalid.length;
  return { outcomes, totals: { ...totals, images: images + wrong, nodes: nodes + wrong, failed: failed + wrong } };
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
