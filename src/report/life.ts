import type { Outcome } from '../events.ts';
import { type ImageEvent, type MeasuredImage, newImage } from '../measure/measure-batch.ts';
import { type Phase, phases } from '../measure/phases.ts';
import { timesOf } from './data.ts';

/** For one image: more of them are merged. */
const mostSpans = 24;
const mostRetryTimes = 16;

/** The history of one image; times are milliseconds since the start of the run. */
export type Life = MeasuredImage & {
  readonly key: string;
  readonly parent: string | undefined;
  readonly reference: string;
  readonly addedMs: number;
  /** Pairs of a position in `phases` and the end of that phase. */
  readonly spans: number[];
  /** Bytes in the store: of the archive, and of the blobs of a registry. */
  readonly size: { archive: number; blobs: number };
  retries: number;
  readonly retryTimes: number[];
  source: string;
  signers: readonly string[];
  /** Absent until it has an outcome. */
  outcome: Pick<Outcome, 'imageID' | 'name' | 'bytesDownloaded' | 'error'> | undefined;
};

export function beginLife(key: string, reference: string, parent: string | undefined, atMs: number): Life {
  return {
    ...newImage(atMs),
    ...{ key, parent, reference, addedMs: atMs, spans: [] },
    ...{ size: { archive: 0, blobs: 0 }, retries: 0, retryTimes: [], source: '', signers: [], outcome: undefined },
  };
}

/** Records the end of a phase. @returns its position in `phases` */
export function addSpan({ spans }: Life, phase: Phase, toMs: number): number {
  const position = phases.indexOf(phase);
  const isSame = spans.at(-2) === position;
  if (isSame || spans.length >= 2 * mostSpans) spans[spans.length - 1] = toMs;
  else spans.push(position, toMs);
  return position;
}

/** Records the facts in an event, other than the phase. */
export function noteFacts(life: Life, event: ImageEvent, atMs: number): void {
  switch (event.type) {
    case 'download-started':
      life.source = event.url;
      return;
    case 'retry':
      life.retries += 1;
      if (life.retryTimes.length < mostRetryTimes) life.retryTimes.push(atMs);
      return;
    case 'ingested':
      life.size[event.imageID.startsWith('sha256:') ? 'blobs' : 'archive'] = event.size; // the last, if it came again
      return;
    case 'verified':
      life.signers = signersOf(event);
      return;
    case 'node-finished': {
      const { imageID, name, bytesDownloaded, error, source, signedBy } = event.outcome;
      life.outcome = {
        ...(imageID !== undefined && { imageID }),
        ...(name !== undefined && { name }),
        ...(bytesDownloaded !== undefined && { bytesDownloaded }),
        ...(error && { error }),
      };
      life.source = source ?? life.source;
      if (life.signers.length === 0) life.signers = signedBy ?? [];
      return;
    }
    case 'upload-started':
      life.source = event.url;
      return;
    case 'image-pushed': {
      const { digest, target, bytesUploaded, size, error } = event.outcome;
      life.outcome = {
        ...(digest !== undefined && { imageID: digest }),
        ...(target !== undefined && { name: target }),
        ...(bytesUploaded !== undefined && { bytesDownloaded: bytesUploaded }),
        ...(error && { error }),
      };
      life.size.blobs = size ?? 0;
      return;
    }
    default:
      return;
  }
}

/** The identities are those of all keys together, so with several keys they are left out. */
function signersOf({ signedBy, identities }: Extract<ImageEvent, { type: 'verified' }>): readonly string[] {
  const [key = ''] = signedBy;
  return signedBy.length === 1 && identities.length > 0 ? [`${key} ${identities.join(', ')}`] : signedBy;
}

type Kept = {
  get(this: void, key: string): Life | undefined;
  /** Adds a life, in place of the least interesting one if needed. @returns false when there is no room */
  admit(life: Life): boolean;
  /** The image has ended, so its life may be replaced. */
  over(life: Life): void;
  all(): Iterable<Life>;
};

type Candidate = { readonly life: Life; readonly interest: number };

/**
 * Keeps a limited number of lives: first those of running images, then of failed ones, then of those that took longest.
 */
export function keepMost(most: number): Kept {
  const lives = new Map<string, Life>();
  /** A heap with the least interesting one first. */
  const heap: Candidate[] = [];
  return {
    get: (key) => lives.get(key),
    admit(life) {
      if (lives.size >= most) {
        const least = pop(heap);
        if (!least) return false;
        lives.delete(least.life.key);
      }
      lives.set(life.key, life);
      return true;
    },
    over(life) {
      const { workMs } = timesOf([life.addedMs, ...life.spans]);
      push(heap, { life, interest: life.status === 'failed' ? Infinity : workMs });
    },
    all: () => lives.values(),
  };
}

function push(heap: Candidate[], candidate: Candidate): void {
  let at = heap.length;
  for (let above = (at - 1) >> 1; at > 0; at = above, above = (at - 1) >> 1) {
    const other = heap[above];
    if (!other || other.interest <= candidate.interest) break;
    heap[at] = other;
  }
  heap[at] = candidate;
}

function pop(heap: Candidate[]): Candidate | undefined {
  const [first] = heap;
  const last = heap.pop();
  if (!last || heap.length === 0) return first;
  let at = 0;
  for (;;) {
    const [left, right] = [heap[2 * at + 1], heap[2 * at + 2]];
    const less = right && left && right.interest < left.interest ? right : left;
    if (!less || less.interest >= last.interest) break;
    heap[at] = less;
    at = less === right ? 2 * at + 2 : 2 * at + 1;
  }
  heap[at] = last;
  return first;
}
