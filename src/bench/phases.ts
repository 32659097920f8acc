import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';

import * as z from 'zod';

/** What counts of an event of a batch. */
export type TimedEvent = {
  readonly type: string;
  readonly key?: string | undefined;
  /** Milliseconds since the epoch. */
  readonly timeMs: number;
  /** Of a place among the transfers. */
  readonly waitedMs?: number | undefined;
  /** Of an ingest, in milliseconds. */
  readonly steps?: Readonly<Record<string, number>> | undefined;
  readonly outcome?: { readonly durationMs?: number | undefined } | undefined;
};

/**
 * Seconds that all images together spent. `wait`: for a place among the transfers; `resolve`: otherwise until the first
 * byte, so discovery, signature and the answer; `download`: from there to the last byte, ingest follows along; `verify`:
 * what was left of ingest then, and the checks; `commit`: until the store has it. What is fetched ahead in a tree is told
 * of once it is wanted, so its phases look shorter.
 */
type Phases = Readonly<Record<(typeof phaseNames)[number], number>>;

export const phaseNames = ['wait', 'resolve', 'download', 'verify', 'commit'] as const;

/** Ends of the phases of one image, in order, in milliseconds since the epoch. */
type Marks = { readonly startMs: number; waitMs: number; firstMs?: number; lastMs?: number; checkedMs?: number };

/** Adds up the phases of a batch, event by event. Images that the store had, or that failed, count for nothing. */
export function addPhases(): { add(event: TimedEvent): void; sums(): Phases } {
  const sumsMs = recordOf(phaseNames, () => 0);
  const alive = new Map<string, Marks>();
  return {
    add({ type, key = '', timeMs, waitedMs = 0, outcome }) {
      if (type === 'node-started') alive.set(key, { startMs: timeMs, waitMs: 0 });
      const marks = alive.get(key);
      if (!marks) return;
      const { startMs, firstMs, lastMs, checkedMs } = marks;
      if (type === 'place-taken' && firstMs === undefined)
        marks.waitMs = Math.min(marks.waitMs + waitedMs, timeMs - startMs);
      if (type === 'download-started') marks.firstMs ??= timeMs;
      if (type === 'download-finished') marks.lastMs = timeMs;
      if (type === 'ingested' || type === 'verified') marks.checkedMs = timeMs;
      if (type !== 'node-finished') return;
      alive.delete(key);
      if (firstMs === undefined || lastMs === undefined || checkedMs === undefined) return;
      sumsMs.wait += marks.waitMs;
      sumsMs.resolve += firstMs - startMs - marks.waitMs;
      sumsMs.download += lastMs - firstMs;
      sumsMs.verify += checkedMs - lastMs;
      // An image that needs others finishes after them; its own work ended before.
      const endMs = Math.min(timeMs, startMs + (outcome?.durationMs ?? Infinity));
      sumsMs.commit += Math.max(0, endMs - checkedMs);
    },
    sums: () => recordOf(phaseNames, (phase) => sumsMs[phase] / 1000),
  };
}

export const depthStages = ['waiting', 'transferring', 'working'] as const;

type Stage = (typeof depthStages)[number];

/** How many images at a time were there: on average over the batch, and at most. */
type Depth = { readonly mean: number; readonly most: number };

/** `waiting`: begun, and no byte there; `transferring`; `working`: all bytes there, being ingested, checked, committed. */
type Depths = Readonly<Record<Stage, Depth>>;

const begins: Readonly<Record<string, Stage | undefined>> = {
  'node-started': 'waiting',
  'download-started': 'transferring',
  'download-finished': 'working',
};

/** Follows how many images of a batch are in which stage, event by event in the order of their times. */
export function addDepths(): { add(event: TimedEvent): void; read(): Depths } {
  const stageOf = new Map<string, Stage>();
  const now = recordOf(depthStages, () => 0);
  const most = { ...now };
  const area = { ...now };
  let [firstMs, lastMs] = [NaN, NaN];

  const leave = (key: string): void => {
    const stage = stageOf.get(key);
    if (stage) now[stage] -= 1;
    stageOf.delete(key);
  };

  const depthOf = (stage: Stage): Depth => ({
    mean: lastMs > firstMs ? area[stage] / (lastMs - firstMs) : 0,
    most: most[stage],
  });

  return {
    add({ type, key, timeMs }) {
      if (Number.isNaN(firstMs)) [firstMs, lastMs] = [timeMs, timeMs];
      for (const stage of depthStages) area[stage] += now[stage] * (timeMs - lastMs);
      lastMs = timeMs;
      const stage = begins[type];
      if (key === undefined || (!stage && type !== 'node-finished')) return;
      leave(key);
      if (!stage) return;
      stageOf.set(key, stage);
      now[stage] += 1;
      most[stage] = Math.max(most[stage], now[stage]);
    },
    read: () => recordOf(depthStages, depthOf),
  };
}

export const ingestSteps = ['wait', 'read', 'inflate', 'hash', 'check', 'write', 'sync'] as const;

/** Seconds of all images together: that they waited for a worker, and that it took for each step of their ingest. */
type IngestSums = Readonly<Record<(typeof ingestSteps)[number], number>>;

export function addIngests(): { add(event: TimedEvent): void; sums(): IngestSums } {
  const sumsMs = recordOf(ingestSteps, () => 0);
  return {
    add({ steps }) {
      for (const step of ingestSteps) sumsMs[step] += steps?.[step] ?? 0;
    },
    sums: () => recordOf(ingestSteps, (step) => sumsMs[step] / 1000),
  };
}

/** A record of what is made of each name. */
export function recordOf<N extends string, V>(names: readonly N[], make: (name: N) => V): Record<N, V> {
  // its types do not tell that these names, and no others, are what the entries have
  return Object.fromEntries(names.map((name) => [name, make(name)])) as Record<N, V>;
}

const eventForm = z.object({
  time: z.iso.datetime(),
  type: z.string(),
  key: z.string().optional(),
  url: z.string().optional(),
  waitedMs: z.number().optional(),
  steps: z.record(z.string(), z.number()).optional(),
  outcome: z.object({ durationMs: z.number().optional() }).optional(),
  totals: z.object({ fetched: z.number(), bytesDownloaded: z.number(), durationMs: z.number() }).optional(),
});

/** What a run's events say of it. */
export type Told = {
  readonly images: number;
  /** As transferred. */
  readonly bytes: number;
  /** The batch alone, without the start of the process and its end. */
  readonly batchSeconds: number;
  /** How many hosts archives came from. */
  readonly hosts: number;
  readonly phases: Phases;
  readonly ingest: IngestSums;
  readonly depths: Depths;
};

/** Reads the file that `fetch --events` wrote. */
export async function readEvents(path: string): Promise<Told> {
  const [phases, ingests, depths] = [addPhases(), addIngests(), addDepths()];
  const hosts = new Set<string>();
  let totals = { fetched: 0, bytesDownloaded: 0, durationMs: 0 };
  for await (const line of createInterface({ input: createReadStream(path) })) {
    if (line.includes('"type":"download-progress"')) continue; // most of them, and none needed
    const event = eventForm.parse(JSON.parse(line));
    const timed = { ...event, timeMs: Date.parse(event.time) };
    for (const sum of [phases, ingests, depths]) sum.add(timed);
    if (event.type === 'download-started' && event.url !== undefined) hosts.add(URL.parse(event.url)?.host ?? '');
    totals = event.totals ?? totals;
  }
  return {
    images: totals.fetched,
    bytes: totals.bytesDownloaded,
    batchSeconds: totals.durationMs / 1000,
    hosts: Math.max(1, hosts.size),
    phases: phases.sums(),
    ingest: ingests.sums(),
    depths: depths.read(),
  };
}
