import { ImageError } from '../../src/errors.ts';
import type { BatchEvent, Outcome, Totals } from '../../src/internal.ts';
import { createTimeline, type Timeline } from '../../src/report/timeline.ts';

export type MadeRunOptions = {
  readonly images: number;
  /** Images that each image needs, level by level; default none. */
  readonly needs?: number;
  /** Every so many fail; default none. */
  readonly failEvery?: number;
  readonly jobs?: number;
  /** Rows that are kept. */
  readonly most?: number;
};

const startMs = Date.UTC(2026, 0, 2, 3, 4, 5);

/** Numbers that are the same in every run: from 0 up to 1. */
function dice(): () => number {
  let state = 42;
  return () => (state = (state * 1_103_515_245 + 12_345) % 2 ** 31) / 2 ** 31;
}

/** The events of a run that never was: a forest whose images come through so many places, some of which fail. */
export function madeEvents({ images, needs = 0, failEvery = Infinity, jobs = 16 }: MadeRunOptions) {
  const random = dice();
  const events: { readonly atMs: number; readonly event: BatchEvent }[] = [];
  const places = Array.from({ length: jobs }, () => 0);
  const known: number[] = [];
  const ends: number[] = [];
  const at = (ms: number, event: BatchEvent): void => void events.push({ atMs: Math.round(ms), event });
  const parentOf = (index: number): number => {
    const place = index % 20; // of twenty, the first is asked for
    return needs > 0 && place > 0 ? index - 1 - ((place - 1) % needs) : -1;
  };
  at(0, { type: 'batch-started', requests: images, jobs: 16, jobsPerHost: 16 });
  for (let index = 0; index < images; index += 1) {
    const parent = parentOf(index);
    const [key, reference] = [`k${index}`, `example.com/team-${index % 7}/service-${index}:1.${index % 10}.0`];
    const addedMs = parent < 0 ? 0 : (known[parent] ?? 0);
    const fails = index % failEvery === failEvery - 1;
    const place = places.indexOf(Math.min(...places));
    const startedMs = Math.max(addedMs + 1, (places[place] ?? 0) - 400); // few are under way at once
    const askedMs = startedMs + 4 + random() * 30;
    const placedMs = Math.max(places[place] ?? 0, askedMs);
    const firstMs = placedMs + 20 + random() * 60;
    const bytes = Math.round(2e5 + random() ** 4 * 9e7);
    const lastMs = firstMs + 30 + bytes / (3e4 + random() * 6e4);
    const checkedMs = lastMs + 5 + bytes / 2e5;
    const endMs = fails ? lastMs : checkedMs + 8 + random() * 25;
    places[place] = lastMs;
    known[index] = Math.min(checkedMs, firstMs + 60);
    ends[index] = endMs;
    const url = `https://images.example.com/team-${index % 7}/service-${index}-1.${index % 10}.0-linux-amd64.aci`;
    at(addedMs, { type: 'node-added', key, reference, ...(parent >= 0 && { parent: `k${parent}` }) });
    at(startedMs, { type: 'node-started', key, reference });
    at(placedMs, { type: 'place-taken', key, host: 'images.example.com', waitedMs: placedMs - askedMs });
    at(firstMs, { type: 'download-started', key, url, total: bytes, resumedFrom: 0 });
    for (let part = 1; part <= 5; part += 1) {
      const ms = firstMs + ((lastMs - firstMs) * part) / 5;
      at(ms, { type: 'download-progress', key, bytes: Math.round((bytes * part) / 5), total: bytes });
    }
    if (index % 17 === 5) {
      at((firstMs + lastMs) / 2, { type: 'retry', key, url, attempt: 1, delayMs: 500, code: 'STALLED' });
    }
    if (!fails) {
      at(lastMs, { type: 'download-finished', key, url, bytes });
      at(checkedMs - 2, { type: 'ingested', key, imageID: '', size: bytes * 2 });
      at(checkedMs, {
        type: 'verified',
        key,
        signedBy: ['8b86de38'.repeat(5)],
        identities: ['Team <team@example.com>'],
      });
    }
    const outcome: Outcome = {
      ...{ reference, durationMs: endMs - startedMs, source: url, bytesDownloaded: bytes },
      ...(fails
        ? {
            status: 'failed',
            error: new ImageError('HTTP_STATUS', `${url} answered 503`, { url, status: 503 }),
          }
        : { status: 'fetched', imageID: `sha512-${index.toString(16).padStart(128, '0')}` }),
    };
    at(endMs + (needs > 0 ? 900 : 0), { type: 'node-finished', key, outcome });
  }
  const endMs = Math.max(...ends) + 1000;
  const failed = Number.isFinite(failEvery) ? Math.floor(images / failEvery) : 0;
  const totals: Totals = {
    ...{ images, nodes: images, fetched: images - failed, present: 0, failed, blocked: 0, cancelled: 0 },
    ...{ bytesDownloaded: 1e9, bytesStored: 2e9, requests: 3 * images, retries: 2, durationMs: endMs },
  };
  at(endMs, { type: 'batch-finished', totals });
  return events.sort((a, b) => a.atMs - b.atMs);
}

export function madeRun(options: MadeRunOptions): Timeline {
  const timeline = createTimeline(startMs, options.most);
  const events = madeEvents(options);
  for (const { atMs, event } of events) timeline.add(event, startMs + atMs);
  return timeline.read(startMs + (events.at(-1)?.atMs ?? 0));
}
