import type { BatchEvent, Outcome } from '../events.ts';
import { phases, type Phase, timesOf } from './data.ts';

/** Of one image: what repeats itself more often is merged. */
const mostSpans = 24;
const mostRetryTimes = 16;

/** One image's life so far; times are milliseconds since the run began. */
export type Life = {
  readonly key: string;
  readonly parent: string | undefined;
  readonly reference: string;
  readonly addedMs: number;
  startedMs: number | undefined;
  /** Alternately a position in `phases` and the end of that phase. */
  readonly spans: number[];
  phase: Phase;
  /** Since when it is in that phase. */
  sinceMs: number;
  /** Of the download that is under way, and when they were told of. */
  bytes: number;
  bytesMs: number;
  size: number;
  retries: number;
  readonly retryTimes: number[];
  source: string;
  signers: readonly string[];
  /** Absent: it has none yet. */
  outcome: Pick<Outcome, 'status' | 'imageID' | 'name' | 'bytesDownloaded' | 'error'> | undefined;
};

export type LifeEvent = Extract<BatchEvent, { readonly key: string }>;

/** Told of each span that is over. */
type OnSpan = (phase: number, fromMs: number, toMs: number) => void;

export function beginLife(key: string, reference: string, parent: string | undefined, atMs: number): Life {
  return {
    ...{ key, parent, reference, addedMs: atMs, startedMs: undefined, spans: [], phase: 'wait', sinceMs: atMs },
    ...{ bytes: 0, bytesMs: atMs, size: 0, retries: 0, retryTimes: [], source: '', signers: [], outcome: undefined },
  };
}

/** What an event means for the image that it is about. Events may come in any order: time never runs backwards. */
export function follow(life: Life, event: LifeEvent, atMs: number, onSpan: OnSpan): void {
  const enter = (phase: Phase, fromMs: number): void => endPhase(life, phase, fromMs, onSpan);
  const isBeforeDownload = life.phase === 'wait' || life.phase === 'resolve';
  switch (event.type) {
    case 'node-started':
      life.startedMs ??= atMs;
      return enter('resolve', atMs);
    case 'waiting':
      return isBeforeDownload ? enter('wait', atMs) : undefined;
    case 'place-taken':
      if (!isBeforeDownload) return;
      enter('wait', atMs - event.waitedMs);
      return enter(event.host === undefined ? 'verify' : 'resolve', atMs); // a local file is read, not asked for
    case 'download-started':
      life.source = event.url;
      life.bytes = event.resumedFrom;
      life.bytesMs = atMs;
      return enter('download', atMs);
    case 'download-progress':
      life.bytes = event.bytes;
      life.bytesMs = atMs;
      return;
    case 'download-finished':
      return enter('verify', atMs);
    case 'retry':
      life.retries += 1;
      if (life.retryTimes.length < mostRetryTimes) life.retryTimes.push(atMs);
      return;
    case 'ingested':
      life.size = event.size;
      return checked(life, atMs, onSpan);
    case 'verified':
      life.signers = signersOf(event);
      return checked(life, atMs, onSpan);
    case 'node-finished':
      return finish(life, event.outcome, atMs, onSpan);
    case 'node-added':
      return;
  }
}

/** Ends the phase that an image is in, now that the run is over. */
export function endLife(life: Life, atMs: number, onSpan: OnSpan): void {
  endPhase(life, life.phase, atMs, onSpan);
}

/** Identities are those of all keys together: with several keys it is not said whose they are. */
function signersOf({ signedBy, identities }: Extract<BatchEvent, { type: 'verified' }>): readonly string[] {
  const [key = ''] = signedBy;
  return signedBy.length === 1 && identities.length > 0 ? [`${key} ${identities.join(', ')}`] : signedBy;
}

/** One of several checks has passed: the last of them ends the verification. Registries' signatures come first of all. */
function checked(life: Life, atMs: number, onSpan: OnSpan): void {
  if (life.phase === 'commit') life.phase = 'verify';
  if (life.phase === 'verify') endPhase(life, 'commit', atMs, onSpan);
}

/** An image that needs others finishes after them; its own work ended before. */
function finish(life: Life, outcome: Outcome, atMs: number, onSpan: OnSpan): void {
  const { status, imageID, name, bytesDownloaded, error, durationMs, source } = outcome;
  life.outcome = {
    status,
    ...(imageID !== undefined && { imageID }),
    ...(name !== undefined && { name }),
    ...(bytesDownloaded !== undefined && { bytesDownloaded }),
    ...(error && { error }),
  };
  life.source = source ?? life.source;
  if (life.signers.length === 0) life.signers = outcome.signedBy ?? [];
  const { startedMs } = life;
  const ownEndMs = startedMs === undefined || durationMs === undefined ? atMs : Math.min(atMs, startedMs + durationMs);
  endPhase(life, 'needs', ownEndMs, onSpan);
  endPhase(life, 'needs', atMs, onSpan);
}

function endPhase(life: Life, next: Phase, atMs: number, onSpan: OnSpan): void {
  const { spans, phase, sinceMs } = life;
  const endMs = Math.max(sinceMs, atMs);
  const position = phases.indexOf(phase);
  if (endMs > sinceMs) {
    onSpan(position, sinceMs, endMs);
    const isSame = spans.at(-2) === position;
    if (isSame || spans.length >= 2 * mostSpans) spans[spans.length - 1] = endMs;
    else spans.push(position, endMs);
  }
  life.phase = next;
  life.sinceMs = endMs;
}

type Kept = {
  get(key: string): Life | undefined;
  /** Takes one more, if need be for the one that is over and tells least. @returns false when there is no room */
  admit(life: Life): boolean;
  /** It may go from here on. */
  over(life: Life): void;
  all(): Iterable<Life>;
};

type Candidate = { readonly life: Life; readonly interest: number };

/** Lives of images, at most so many: those that are not over, then those that failed, then those that took longest. */
export function keepMost(most: number): Kept {
  const lives = new Map<string, Life>();
  /** A heap: what is least interesting comes first. */
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
      push(heap, { life, interest: life.outcome?.status === 'failed' ? Infinity : workMs });
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
