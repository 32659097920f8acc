import { asImageError, hasCode, ImageError } from '../errors.ts';
import type { PushFacts, PushOutcome, PushStatus, PushTotals } from '../events/push.ts';
import type { RegistryImage } from '../store/registry-store.ts';
import { createBlobs } from './blobs.ts';
import { type PushContext, slotsUntilRefused } from './context.ts';
import { planImage } from './plan.ts';
import { type Pushed, pushImage } from './push-image.ts';
import { createReferrersLists } from './referrers-lists.ts';
import { type PushTarget, showTarget, type TargetRegistry } from './targets.ts';

/** An image that was selected: to be pushed, or not. */
export type PushRequest = {
  readonly index: number;
  /** As it was asked for. */
  readonly reference: string;
} & (
  | { readonly image: RegistryImage; readonly target: PushTarget }
  /** Why it is not pushed. */
  | { readonly image?: undefined; readonly status: 'skipped' }
  | { readonly image?: undefined; readonly status: 'failed'; readonly error: ImageError }
);

export type PushBatchOptions = {
  readonly context: PushContext;
  /** Where to, for events. */
  readonly target: string;
  readonly registry: TargetRegistry;
  /** A tag that has another digest at the target is not moved. */
  readonly noOverwrite: boolean;
  /** Nothing is sent or asked. */
  readonly dryRun: boolean;
  readonly failFast: boolean;
  readonly signal: AbortSignal;
  /** The error of an image that had not ended when the batch was stopped. */
  readonly cancelledBy: (reason: unknown) => ImageError<'CANCELLED'>;
  readonly onOutcome: (outcome: PushOutcome) => void;
};

/** Pushes images, several at a time. Does not reject if an image fails; a bug rejects. */
export async function pushBatch(requests: readonly PushRequest[], options: PushBatchOptions): Promise<PushTotals> {
  const { target, dryRun, failFast, onOutcome } = options;
  const { onEvent, nowMs, concurrency, tally, traffic, slots, retryAfterMs } = options.context;
  const startedMs = nowMs();
  const [stop, refused] = [new AbortController(), new AbortController()];
  const signal = AbortSignal.any([options.signal, stop.signal, refused.signal]);
  const giveUp = (error: ImageError): void => refused.abort(refusedAll(error));
  const context = { ...options.context, slots: slotsUntilRefused(slots, { longestMs: retryAfterMs, giveUp }) };
  const count: Record<PushStatus, number> = { pushed: 0, present: 0, planned: 0, skipped: 0, failed: 0, cancelled: 0 };
  const sums = { bytesUploaded: 0, blobsUploaded: 0, blobsMounted: 0 };

  const settle = (key: string, outcome: PushOutcome): void => {
    count[outcome.status] += 1;
    onEvent({ type: 'image-pushed', key, outcome });
    onOutcome(outcome);
    if (outcome.status === 'failed' && failFast) {
      stop.abort(new ImageError('CANCELLED', 'another image failed', { reason: 'failFast' }, { cause: outcome.error }));
    }
  };

  onEvent({ type: 'push-started', target, requests: requests.length, ...concurrency });
  const jobs = new Map<string, Job>();
  for (const request of requests) {
    const { index, reference } = request;
    const key = String(index);
    if (!request.image) {
      const { status } = request;
      onEvent({ type: 'node-added', key, reference });
      settle(
        key,
        status === 'failed' ? { reference, index, status, error: request.error } : { reference, index, status },
      );
      continue;
    }
    const { image } = request;
    const known = jobs.get(image.reference);
    if (known) known.askedBy.push({ index, reference });
    else jobs.set(image.reference, { key, image, target: request.target, askedBy: [{ index, reference }] });
    if (!known) onEvent({ type: 'node-added', key, reference });
  }

  const shared = { blobs: createBlobs(context, options.registry, sums), lists: createReferrersLists(context) };
  const work = async (job: Job): Promise<void> => {
    const { key, image, target, askedBy } = job;
    const beganMs = nowMs();
    if (!signal.aborted) onEvent({ type: 'node-started', key, reference: askedBy[0]?.reference ?? '' });
    const facts = (pushed: Pick<Pushed, 'digest' | 'size'> & Partial<Pushed>) => {
      const { digest, size, bytesUploaded, blobs } = pushed;
      const at = `${target.host}/${target.repository}@${digest}`;
      const sent = { ...(bytesUploaded !== undefined && { bytesUploaded }), ...(blobs && { blobs }) };
      return { target: showTarget(target), pushed: at, digest, size, ...sent, durationMs: nowMs() - beganMs };
    };
    const report = (rest: Result): void => {
      for (const request of askedBy) settle(key, { ...request, ...rest });
    };
    try {
      signal.throwIfAborted();
      if (dryRun) return report({ status: 'planned', ...facts(await planned(context, job)) });
      const pushed = await pushImage(context, shared, { ...job, noOverwrite: options.noOverwrite }, signal);
      if (!context.store.readOnly) context.store.touchRegistryImage(image.reference);
      report({ status: pushed.status, ...facts(pushed) });
    } catch (error) {
      const failed = { target: showTarget(target), durationMs: nowMs() - beganMs };
      if (signal.aborted && signal.reason !== refused.signal.reason && !hasCode(signal.reason, 'CLOSED'))
        return report({ ...failed, status: 'cancelled', error: options.cancelledBy(signal.reason) });
      report({ ...failed, status: 'failed', error: asImageError(signal.aborted ? signal.reason : error) });
    }
  };

  const waiting = jobs.values();
  const lane = async (): Promise<void> => {
    for (const job of waiting) await work(job);
  };
  await Promise.all(Array.from({ length: Math.min(jobs.size, imagesPerJob * concurrency.jobs) }, lane));

  const totals = { images: requests.length, ...count, ...sums, ...tally, durationMs: nowMs() - startedMs };
  onEvent({ type: 'traffic', hosts: traffic.read() });
  onEvent({ type: 'push-finished', totals });
  return totals;
}

function refusedAll(error: ImageError): ImageError {
  const message = `${error.message}; nothing more is sent to this registry`;
  return new ImageError(error.code, message, error.details, { cause: error });
}

/** Images wait for blobs that others send: more of them are under way than transfers. */
const imagesPerJob = 2;

type Job = {
  readonly key: string;
  readonly image: RegistryImage;
  readonly target: PushTarget;
  readonly askedBy: Pick<PushRequest, 'index' | 'reference'>[];
};

type WithoutRequest<O> = O extends PushOutcome ? Omit<O, 'index' | 'reference'> : never;
type Result = WithoutRequest<PushOutcome>;

/** What a dry run says of an image. */
async function planned(
  context: PushContext,
  { image, target }: Job,
): Promise<Pick<PushFacts, 'size'> & Pick<Pushed, 'digest' | 'size'>> {
  const { image: root, size } = await planImage(context, image, target.tag);
  return { digest: root.document.digest, size };
}
