import type { BodyRange, DownloadRequest, RangedBody, RangesAhead } from '../http/contract.ts';
import { showUrl } from '../image/show.ts';
import type { PartialDownload, Store } from '../store/store.ts';
import { debugLog } from '../system/debug.ts';
import { openOwnFile } from '../system/files.ts';
import type { Slot, Slots } from './context.ts';

const debug = debugLog('fetchers');

/** When a body is downloaded by ranges. */
export type RangesPolicy = {
  /** A smaller body is not. */
  readonly leastBytes: number;
  /** How long its rate is measured before. */
  readonly measuredMs: number;
  /** A faster connection, in bytes a second, is hardly what limits: other things take as long. */
  readonly mostRate: number;
  /** By its rate, the rest must take at least so long. */
  readonly leastRestMs: number;
  /** The most bytes of a range, and the number of ranges at a time, with the one that the download itself is in. */
  readonly rangeBytes: number;
  readonly count: number;
};

const usualPolicy: RangesPolicy = {
  leastBytes: 64 * 1024 * 1024,
  measuredMs: 1000,
  mostRate: 50_000_000,
  leastRestMs: 2000,
  rangeBytes: 32 * 1024 * 1024,
  count: 4,
};

/** What ranges must bring in a window, as a multiple of the rate before, for the next window to have some. */
const leastGain = 1.2;
const noWindow = { from: -1, position: 0, atMs: 0, usualRate: 0 };

const readBytes = 1024 * 1024;

type RangesOptions = {
  readonly store: Pick<Store, 'freeBytes' | 'tryClaim' | 'openPartial'>;
  readonly slots: Slots;
  /** The key of the download, which the caller has claimed: its exact URL or its digest. */
  readonly key: string;
  readonly host: string;
  /** Downloads a range, in a slot of its own. */
  readonly download: (range: RangeDownload, slot: Slot, signal: AbortSignal) => Promise<unknown>;
};

type RangeDownload = Required<Pick<DownloadRequest, 'range' | 'sink' | 'onProgress'>>;

export type Ranges = RangesAhead & {
  /** Stops what is under way. @param how - whether what has come is kept for a later run */
  close(how: 'keep' | 'discard'): Promise<void>;
};

/** `waiting` for a slot. `over`: no more bytes come; those that came can be read. */
type Range = BodyRange & {
  state: 'opening' | 'waiting' | 'coming' | 'over';
  partial: PartialDownload | undefined;
  /** Why its file is closed: its bytes are not needed, or may be needed by a later run. */
  readonly end: PromiseWithResolvers<'keep' | 'discard'>;
  readonly stop: AbortController;
};

/**
 * Downloads ranges of a body ahead of its download, if its connection turns out to be slow. Each range goes to a partial download of its
 * own, from which the download takes the bytes when it gets there: so its own file stays append-only, and is followed as always. Ranges
 * get slots behind all other transfers of the host, and one that has none when the download gets there is given up. What fails is not
 * reported: the download gets these bytes by itself.
 *
 * The body is divided into windows of `count` ranges. In each, the download gets the first range and takes the others; so at most three
 * ranges are on disk twice.
 */
export function createRanges(
  { store, slots, key, host, download }: RangesOptions,
  signal: AbortSignal,
  policy = usualPolicy,
): Ranges {
  let body: RangedBody | undefined;
  let position = 0;
  let begun = { atMs: 0, position: 0 };
  let mode: 'measuring' | 'checking' | 'ranges' | 'none' = 'measuring';
  let isClosed = false;
  let ranges: readonly Range[] = [];
  const ended = new Set<Promise<void>>();
  let window = noWindow;
  let received = 0;
  let changed = Promise.withResolvers<void>();

  const change = (): void => {
    changed.resolve();
    changed = Promise.withResolvers<void>();
  };
  signal.addEventListener('abort', change);

  const rateSince = (since: { readonly atMs: number; readonly position: number }): number =>
    (1000 * (position - since.position)) / Math.max(1, performance.now() - since.atMs);
  const bytesOf = ({ partial }: Range): number => partial?.bytes ?? 0;
  const hasMore = (range: Range, from: number): boolean => range.from + bytesOf(range) > from;

  const drop = (range: Range, how: 'keep' | 'discard' = 'discard'): void => {
    ranges = ranges.filter((one) => one !== range);
    range.stop.abort(new Error('the range is not needed'));
    range.end.resolve(how);
  };

  const bring = async (range: Range, partial: PartialDownload): Promise<void> => {
    const bytes = range.to - range.from;
    if (partial.bytes > 0 && partial.total !== bytes) await partial.discard();
    range.partial = partial;
    if (partial.bytes === bytes || (position > range.from && !hasMore(range, position))) return;
    range.state = 'waiting';
    change();
    const either = AbortSignal.any([signal, range.stop.signal]);
    const asLast = slots.prefetch(new Promise(() => undefined));
    const setState = (state: 'waiting' | 'coming'): void => {
      range.state = state;
      change();
    };
    const coming = asLast.run(host, either, async (slot) => {
      setState('coming');
      const pause: Slot['pause'] = async (wait) => {
        setState('waiting'); // the download does not wait for what is tried again later
        await slot.pause(wait);
        setState('coming');
      };
      let known = partial.bytes;
      const onProgress = (now: number): void => {
        received += Math.max(0, now - known); // fewer than before after a restart
        known = now;
        change();
      };
      await download({ range, sink: partial, onProgress }, { ...slot, pause }, either);
    });
    await unlessWaiting(coming, either, () => range.state === 'waiting');
  };

  /** Its key names the version, so that bytes of another one are never found. */
  const run = async (range: Range): Promise<void> => {
    const { from, to } = range;
    const version = `${range.body.total} ${range.body.validator?.kind ?? ''} ${range.body.validator?.value ?? ''}`;
    const own = `${key}#${from}-${to} ${version}`;
    await using _claim = await store.tryClaim(own);
    if (!_claim) return;
    const partial = await store.openPartial(own);
    try {
      await bring(range, partial);
    } catch (error) {
      debug(() => `${showUrl(key)}: the range from ${from} does not come: ${String(error)}`);
    }
    range.state = 'over';
    change();
    const how = await range.end.promise;
    await (how === 'keep' && partial.bytes > 0 ? partial.close() : partial.discard());
  };

  const start = (from: number, to: number, about: RangedBody): void => {
    const range: Range = {
      ...{ from, to, body: about, state: 'opening', partial: undefined },
      ...{ end: Promise.withResolvers(), stop: new AbortController() },
    };
    ranges = [...ranges, range];
    const over = run(range)
      .catch(() => undefined) // a claim or a file that could not be had
      .finally(() => {
        range.state = 'over';
        change();
        ended.delete(over);
      });
    ended.add(over);
  };

  /** Begins the ranges of the window that the download is in. */
  const startRanges = (): void => {
    if (mode !== 'ranges' || !body) return;
    const { total } = body;
    const { count, rangeBytes } = policy;
    const step = Math.ceil(total / (count * Math.ceil(total / (count * rangeBytes))));
    const from = Math.floor(position / (count * step)) * count * step;
    if (window.from === from) return;
    if (window.from >= 0 && rateSince(window) < window.usualRate * leastGain) mode = 'none';
    window = { ...window, from, position, atMs: performance.now() };
    if (mode === 'none') return;
    for (let at = from + step; at < Math.min(total, from + count * step); at += step) {
      const to = Math.min(total, at + step);
      if (to > position) start(at, to, body);
    }
  };

  const measure = (): void => {
    if (!body) return;
    if (performance.now() - begun.atMs < policy.measuredMs) return;
    const rate = rateSince(begun);
    begun = { atMs: performance.now(), position };
    const rest = body.total - position;
    if (rate > policy.mostRate || rest * 1000 < rate * policy.leastRestMs) return;
    mode = 'checking';
    window = { ...noWindow, usualRate: rate };
    const needed = rest + policy.count * policy.rangeBytes;
    const checked = (free: number): void => {
      if (mode === 'checking') mode = free > needed ? 'ranges' : 'none';
      if (!isClosed) startRanges();
    };
    void store.freeBytes().then(checked, () => checked(0));
  };

  return {
    get bytes() {
      return ranges.reduce(
        (sum, range) => sum + Math.max(0, range.from + bytesOf(range) - Math.max(range.from, position)),
        0,
      );
    },
    get received() {
      return received;
    },
    begin(next, at) {
      position = at;
      begun = { atMs: performance.now(), position: at };
      if (!isSame(body, next)) {
        for (const range of ranges) drop(range);
        window = noWindow;
        // once is enough: servers behind one name may have different versions, and each new request could begin the body again
        mode = !body && next && next.total >= policy.leastBytes ? 'measuring' : 'none';
      }
      body = next;
      if (!isClosed) startRanges();
    },
    advance(at) {
      position = at;
      if (isClosed) return;
      if (mode === 'measuring') measure();
      else startRanges();
    },
    limited() {
      if (mode === 'measuring') mode = 'none';
    },
    nextFrom(at) {
      for (const range of ranges.filter(({ state }) => state !== 'opening')) {
        if (range.to <= at || (range.from <= at && range.state !== 'coming' && !hasMore(range, at))) drop(range);
        else if (range.from < at && !hasMore(range, at)) drop(range);
      }
      const there = ranges.filter((range) => range.state === 'coming' || hasMore(range, Math.max(at, range.from)));
      return there.reduce((first, { from }) => Math.min(first, Math.max(at, from)), Infinity);
    },
    async *read(from) {
      let at = from;
      for (;;) {
        const range = ranges.find((one) => one.from <= at && at < one.to);
        if (!range) return;
        for await (const chunk of follow(range, at)) {
          yield chunk;
          at += chunk.byteLength;
        }
        drop(range);
        if (at < range.to) return;
      }
    },
    async close(how) {
      isClosed = true;
      signal.removeEventListener('abort', change);
      for (const range of ranges) drop(range, how);
      await Promise.all(ended);
    },
  };

  /** Reads a range while it comes. Each chunk is valid until the next is requested. */
  async function* follow(range: Range, from: number): AsyncGenerator<Uint8Array> {
    await using stack = new AsyncDisposableStack();
    const buffer = Buffer.allocUnsafeSlow(readBytes);
    let file: Awaited<ReturnType<typeof openOwnFile>> | undefined;
    for (let at = from - range.from; at < range.to - range.from;) {
      signal.throwIfAborted();
      const more = bytesOf(range) - at;
      if (more <= 0 || !range.partial) {
        if (range.state !== 'coming') return;
        await changed.promise;
        continue;
      }
      file ??= stack.use(await openOwnFile(range.partial.path));
      const { bytesRead } = await file.read(buffer, 0, Math.min(more, readBytes), at);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
      at += bytesRead;
    }
  }
}

/** Awaits work. If the signal is aborted while it waits for a slot, that slot is not awaited: it may come only after this. */
async function unlessWaiting(work: Promise<void>, signal: AbortSignal, isWaiting: () => boolean): Promise<void> {
  const aborted = Promise.withResolvers<never>();
  const stop = (): void => {
    if (isWaiting()) aborted.reject(signal.reason);
  };
  signal.addEventListener('abort', stop);
  try {
    if (signal.aborted) stop();
    await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function isSame(one: RangedBody | undefined, other: RangedBody | undefined): boolean {
  const [a, b] = [one?.validator, other?.validator];
  return one?.total === other?.total && a?.kind === b?.kind && a?.value === b?.value;
}
