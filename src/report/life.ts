import type { BatchEvent, Outcome } from '../events.ts';
import { phases, type Phase } from './phases.ts';

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
export type OnSpan = (phase: number, fromMs: number, toMs: number) => void;

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
