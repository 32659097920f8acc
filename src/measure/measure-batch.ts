import type { BatchEvent, OutcomeStatus, Totals } from '../events.ts';
import type { Phase } from './phases.ts';

/** Where an image is. Whoever reads a batch may keep more with it. Times are milliseconds of the reader's own clock. */
export type MeasuredImage = {
  phase: Phase;
  /** Since when it is in that phase. */
  sinceMs: number;
  /** Absent: its turn has not come. */
  startedMs: number | undefined;
  /** Of the download that is under way, and when they were told of. */
  bytes: number;
  bytesMs: number;
  /** Absent: it has no outcome yet. */
  status: OutcomeStatus | undefined;
};

/** An event that is about one image. */
export type ImageEvent = Extract<BatchEvent, { readonly key: string }>;

/** Told of a phase that is over. */
type OnSpan<I> = (image: I, phase: Phase, fromMs: number, toMs: number) => void;

/** What a reader of a batch keeps, and what it wants to be told of. */
export type Reader<I extends MeasuredImage> = {
  get(key: string): I | undefined;
  /** Of an image that is not kept, at any of its events. @returns what is kept of it from now on; undefined: nothing is */
  begin(event: ImageEvent, atMs: number): I | undefined;
  /** The image has its outcome. Nothing is asked about it any more. */
  end(key: string, image: I): void;
  onSpan?: OnSpan<I>;
  /** So many bytes came from one time to another. */
  onBytes?(bytes: number, fromMs: number, toMs: number): void;
};

/** Sums over all images, whether they are kept or not; `bytesDownloaded` is of those that are. */
export type BatchSums = {
  requests: number;
  nodes: number;
  readonly counts: Record<OutcomeStatus, number>;
  retries: number;
  bytesDownloaded: number;
  /** Absent: the batch is not over. */
  totals: Totals | undefined;
};

export type BatchMeasure<I> = {
  readonly sums: Readonly<BatchSums>;
  /** @returns the image that the event is about, if it is kept and had no outcome before. Never throws, whatever the order of events */
  take(event: BatchEvent, atMs: number): I | undefined;
};

/**
 * Follows what the images of a batch do, event by event. What is kept of them, and for how long, is the reader's: this keeps
 * sums alone.
 */
export function measureBatch<I extends MeasuredImage>(reader: Reader<I>): BatchMeasure<I> {
  const sums: BatchSums = {
    ...{ requests: 0, nodes: 0, retries: 0, bytesDownloaded: 0, totals: undefined },
    counts: { fetched: 0, present: 0, failed: 0, cancelled: 0 },
  };
  const { onSpan = () => undefined } = reader;

  const follow = (event: ImageEvent, atMs: number): I | undefined => {
    const image = reader.get(event.key) ?? reader.begin(event, atMs);
    if (!image || image.status !== undefined) return undefined;
    const { bytes, bytesMs } = image;
    enterNext(image, event, atMs, onSpan);
    if (event.type === 'download-progress' && event.bytes > bytes) {
      sums.bytesDownloaded += event.bytes - bytes;
      reader.onBytes?.(event.bytes - bytes, bytesMs, atMs);
    }
    if (event.type === 'node-finished') reader.end(event.key, image);
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
          return undefined;
        case 'node-added':
          sums.nodes += 1;
          break;
        case 'retry':
          sums.retries += 1;
          break;
        case 'node-finished':
          sums.counts[event.outcome.status] += 1;
          break;
        default:
          break;
      }
      return follow(event, atMs);
    },
  };
}

/** An image that has just become known. */
export function newImage(atMs: number): MeasuredImage {
  return { phase: 'wait', sinceMs: atMs, startedMs: undefined, bytes: 0, bytesMs: atMs, status: undefined };
}

/** Keeps images from their start to their outcome. @param create - what is kept of one */
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

/** What an event means for the image that it is about: time never runs backwards, whatever the order of events. */
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
      return enter(event.host === undefined ? 'verify' : 'resolve', atMs); // a local file is read, not asked for
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
      // The last of several checks ends the verification. Signatures of registries' images come first of all.
      if (image.phase === 'commit') image.phase = 'verify';
      return image.phase === 'verify' ? enter('commit', atMs) : undefined;
    case 'node-finished': {
      // An image that needs others finishes after them; its own work ended before.
      const { status, durationMs } = event.outcome;
      const ownEndMs = (image.startedMs ?? NaN) + (durationMs ?? NaN);
      enter('needs', Number.isNaN(ownEndMs) ? atMs : Math.min(atMs, ownEndMs));
      enter('needs', atMs);
      image.status = status;
      return;
    }
    case 'node-added':
    case 'retry':
      return;
  }
}

/** Ends the phase that an image is in. */
export function enterPhase<I extends MeasuredImage>(image: I, next: Phase, atMs: number, onSpan: OnSpan<I>): void {
  const { phase, sinceMs } = image;
  const endMs = Math.max(sinceMs, atMs);
  if (endMs > sinceMs) onSpan(image, phase, sinceMs, endMs);
  image.phase = next;
  image.sinceMs = endMs;
}
