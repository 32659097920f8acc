import type { BatchEvent, OutcomeStatus, Totals } from '../events.ts';
import type { PushStatus, PushTotals } from '../events/push.ts';
import type { Phase } from './phases.ts';

/** The state of an image. Readers may add their own members. Times are milliseconds of the reader's clock. */
export type MeasuredImage = {
  phase: Phase;
  /** The start of that phase. */
  sinceMs: number;
  /** Absent while it waits for its turn. */
  startedMs: number | undefined;
  /** Bytes of the current download, or of all uploads, and when they were last reported. */
  bytes: number;
  bytesMs: number;
  /** Absent until it has an outcome. */
  status: OutcomeStatus | PushStatus | undefined;
};

/** An event about one image. */
export type ImageEvent = Extract<BatchEvent, { readonly key: string }>;

/** Called when a phase has ended. */
type OnSpan<I> = (image: I, phase: Phase, fromMs: number, toMs: number) => void;

/** The images that a reader of a batch keeps, and the callbacks it needs. */
export type Reader<I extends MeasuredImage> = {
  get(key: string): I | undefined;
  /** Called at an event of an image that is not kept. @returns the image to keep; undefined to keep none */
  begin(event: ImageEvent, atMs: number): I | undefined;
  /** Called when the image has its outcome. It is not used again. */
  end(key: string, image: I): void;
  onSpan?: OnSpan<I>;
  /** Called with a number of bytes and the time in which they arrived. */
  onBytes?(bytes: number, fromMs: number, toMs: number): void;
};

/** Sums over all images, kept or not; `bytesDownloaded` only of those that are kept. Of a push these are the bytes that were sent. */
export type BatchSums = {
  requests: number;
  nodes: number;
  readonly counts: Record<OutcomeStatus | PushStatus, number>;
  isPush: boolean;
  retries: number;
  bytesDownloaded: number;
  /** Absent until the batch has ended. */
  totals: RunTotals | undefined;
};

/** What a batch and a push both count. */
type RunTotals = Pick<Totals, 'bytesDownloaded' | 'requests' | 'retries' | 'durationMs'> &
  Partial<Pick<Totals, 'fetched' | 'bytesStored'>>;

export type BatchMeasure<I> = {
  readonly sums: Readonly<BatchSums>;
  /**
   * @returns the image of the event, if it is kept and had no outcome before. Never throws, whatever the order of
   * events
   */
  take(event: BatchEvent, atMs: number): I | undefined;
};

/**
 * Follows the images of a batch, event by event. The reader decides which images to keep, and for how long; this keeps
 * only sums.
 */
export function measureBatch<I extends MeasuredImage>(reader: Reader<I>): BatchMeasure<I> {
  const sums: BatchSums = {
    ...{ requests: 0, nodes: 0, retries: 0, bytesDownloaded: 0, isPush: false, totals: undefined },
    counts: { fetched: 0, present: 0, failed: 0, cancelled: 0, pushed: 0, planned: 0, skipped: 0 },
  };
  const { onSpan = () => undefined } = reader;

  const follow = (event: ImageEvent, atMs: number): I | undefined => {
    const image = reader.get(event.key) ?? reader.begin(event, atMs);
    if (!image || image.status !== undefined) return undefined;
    const { bytes, bytesMs } = image;
    enterNext(image, event, atMs, onSpan);
    if ((event.type === 'download-progress' || event.type === 'upload-progress') && event.bytes > bytes) {
      sums.bytesDownloaded += event.bytes - bytes;
      reader.onBytes?.(event.bytes - bytes, bytesMs, atMs);
    }
    if (event.type === 'node-finished' || event.type === 'image-pushed') reader.end(event.key, image);
    return image;
  };

  return {
    sums,
    take(event, atMs) {
      switch (event.type) {
        case 'batch-started':
          sums.requests += event.requests;
          return undefined;
        case 'batch-finished':
          sums.totals = event.totals;
          return undefined;
        case 'warning':
        case 'traffic':
        case 'archive-read':
          return undefined;
        case 'push-started':
          sums.isPush = true;
          sums.requests += event.requests;
          return undefined;
        case 'push-finished':
          sums.totals = totalsOf(event.totals);
          return undefined;
        case 'node-added':
          sums.nodes += 1;
          break;
        case 'retry':
          sums.retries += 1;
          break;
        case 'node-finished':
        case 'image-pushed':
          sums.counts[event.outcome.status] += 1;
          break;
        default:
          break;
      }
      return follow(event, atMs);
    },
  };
}

function totalsOf({ bytesUploaded, requests, retries, durationMs }: PushTotals): RunTotals {
  return { bytesDownloaded: bytesUploaded, requests, retries, durationMs };
}

/** The state of an image that has just become known. */
export function newImage(atMs: number): MeasuredImage {
  return { phase: 'wait', sinceMs: atMs, startedMs: undefined, bytes: 0, bytesMs: atMs, status: undefined };
}

/** Keeps images from their start to their outcome. @param create - makes the state of an image */
export function keepUnderWay<I extends MeasuredImage>(
  create: (event: Extract<BatchEvent, { type: 'node-started' }>, atMs: number) => I,
): Pick<Reader<I>, 'get' | 'begin' | 'end'> {
  const images = new Map<string, I>();
  return {
    get: (key) => images.get(key),
    begin(event, atMs) {
      if (event.type !== 'node-started') return undefined;
      const image = create(event, atMs);
      images.set(event.key, image);
      return image;
    },
    end: (key) => void images.delete(key),
  };
}

/** Changes the phase of an image for an event. Phases never go back, whatever the order of events. */
function enterNext<I extends MeasuredImage>(image: I, event: ImageEvent, atMs: number, onSpan: OnSpan<I>): void {
  const enter = (phase: Phase, fromMs: number): void => enterPhase(image, phase, fromMs, onSpan);
  const isBeforeDownload = image.phase === 'wait' || image.phase === 'resolve';
  switch (event.type) {
    case 'node-started':
      enter('resolve', atMs);
      image.startedMs ??= atMs;
      return;
    case 'waiting':
      return isBeforeDownload ? enter('wait', atMs) : undefined;
    case 'place-taken':
      if (!isBeforeDownload) return;
      enter('wait', atMs - event.waitedMs);
      return enter(event.host === undefined ? 'verify' : 'resolve', atMs); // a local file is read without a request
    case 'download-started':
      image.bytes = event.resumedFrom;
      image.bytesMs = atMs;
      return enter('download', atMs);
    case 'download-progress':
      image.bytes = event.bytes;
      image.bytesMs = atMs;
      return;
    case 'download-finished':
      return enter('verify', atMs);
    case 'ingested':
    case 'verified':
      // Verification ends with the last of several checks. For registry images, signatures come first.
      if (image.phase === 'commit') image.phase = 'verify';
      return image.phase === 'verify' ? enter('commit', atMs) : undefined;
    case 'node-finished': {
      // An image with dependencies finishes after them; its own work has ended before.
      const { status, durationMs } = event.outcome;
      const ownEndMs = (image.startedMs ?? NaN) + (durationMs ?? NaN);
      enter('needs', Number.isNaN(ownEndMs) ? atMs : Math.min(atMs, ownEndMs));
      enter('needs', atMs);
      image.status = status;
      return;
    }
    case 'upload-started':
      if (image.phase === 'download') return; // of another blob
      image.bytesMs = atMs;
      return enter('download', atMs);
    case 'upload-progress':
      image.bytes = Math.max(image.bytes, event.bytes);
      image.bytesMs = atMs;
      return;
    case 'image-pushed':
      enter('needs', atMs);
      image.status = event.outcome.status;
      return;
    case 'node-added':
    case 'retry':
    case 'upload-finished':
      return;
  }
}

/** Ends the current phase of an image. */
export function enterPhase<I extends MeasuredImage>(image: I, next: Phase, atMs: number, onSpan: OnSpan<I>): void {
  const { phase, sinceMs } = image;
  const endMs = Math.max(sinceMs, atMs);
  if (endMs > sinceMs) onSpan(image, phase, sinceMs, endMs);
  image.phase = next;
  image.sinceMs = endMs;
}
