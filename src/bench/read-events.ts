import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';

import * as z from 'zod';

import type { BatchEvent } from '../internal.ts';
import { keepUnderWay, measureBatch, type MeasuredImage, newImage } from '../measure/measure-batch.ts';
import type { Phase } from '../measure/phases.ts';

/** The phases in which an image is active itself. */
export const phaseNames = ['wait', 'resolve', 'download', 'verify', 'commit'] as const satisfies readonly Phase[];
export const depthStages = ['waiting', 'transferring', 'working'] as const;
export const ingestSteps = ['wait', 'read', 'inflate', 'hash', 'check', 'write', 'sync'] as const;

/** The number of simultaneous images: the average over the batch, and the maximum. */
type Depth = { readonly mean: number; readonly most: number };

/** What the events of a run add up to. */
export type EventSummary = {
  readonly images: number;
  /** As transferred. */
  readonly bytes: number;
  /** The batch alone, without start and end of the process. */
  readonly batchSeconds: number;
  /** The number of hosts that archives came from. */
  readonly hosts: number;
  /** Seconds of all images together, from their start. Images that were not fetched over the network do not count. */
  readonly phases: Readonly<Record<(typeof phaseNames)[number], number>>;
  /** Seconds of all images together that they waited for a worker, and that each step of their ingest took. */
  readonly ingest: Readonly<Record<(typeof ingestSteps)[number], number>>;
  /**
   * `waiting`: begun, without a byte; `transferring`; `working`: all bytes are there, it is ingested, checked,
   * committed.
   */
  readonly depths: Readonly<Record<(typeof depthStages)[number], Depth>>;
};

const stageOf: Readonly<Record<Phase, (typeof depthStages)[number]>> = {
  ...{ wait: 'waiting', resolve: 'waiting', download: 'transferring' },
  ...{ verify: 'working', commit: 'working', needs: 'working' },
};

type Image = MeasuredImage & {
  readonly spentMs: Record<Phase, number>;
  isDownloaded: boolean;
  /** The stage in which it is counted. */
  stage: (typeof depthStages)[number] | undefined;
};

/** Adds up the events of a batch, in the order of their times. */
export function addUp(): { take(event: BatchEvent, timeMs: number): void; read(): EventSummary } {
  const sumsMs = recordOf(phaseNames, () => 0);
  const stepsMs = recordOf(ingestSteps, () => 0);
  const [now, most, areaMs] = [noDepths(), noDepths(), noDepths()];
  const hosts = new Set<string>();
  let firstMs: number | undefined;
  let lastMs = 0;

  const batch = measureBatch<Image>({
    ...keepUnderWay((_, atMs) => ({
      ...newImage(atMs),
      spentMs: { wait: 0, resolve: 0, download: 0, verify: 0, commit: 0, needs: 0 },
      ...{ isDownloaded: false, stage: undefined },
    })),
    onSpan({ spentMs }, phase, fromMs, toMs) {
      spentMs[phase] += toMs - fromMs;
      areaMs[stageOf[phase]] += toMs - fromMs;
    },
  });

  const countIn = (image: Image): void => {
    if (image.stage) now[image.stage] -= 1;
    image.stage = image.status === undefined ? stageOf[image.phase] : undefined;
    if (!image.stage) return;
    now[image.stage] += 1;
    most[image.stage] = Math.max(most[image.stage], now[image.stage]);
  };

  return {
    take(event, timeMs) {
      firstMs ??= timeMs;
      lastMs = timeMs;
      const image = batch.take(event, timeMs);
      if (!image) return;
      countIn(image);
      if (event.type === 'download-started') {
        image.isDownloaded = true;
        hosts.add(URL.parse(event.url)?.host ?? '');
      }
      if (event.type === 'ingested') for (const step of ingestSteps) stepsMs[step] += event.steps?.[step] ?? 0;
      if (image.status === 'fetched' && image.isDownloaded)
        for (const phase of phaseNames) sumsMs[phase] += image.spentMs[phase];
    },
    read() {
      const { totals } = batch.sums;
      const durationMs = lastMs - (firstMs ?? lastMs);
      return {
        images: totals?.fetched ?? 0,
        bytes: totals?.bytesDownloaded ?? 0,
        batchSeconds: (totals?.durationMs ?? 0) / 1000,
        hosts: Math.max(1, hosts.size),
        phases: recordOf(phaseNames, (phase) => sumsMs[phase] / 1000),
        ingest: recordOf(ingestSteps, (step) => stepsMs[step] / 1000),
        depths: recordOf(depthStages, (stage) => ({
          mean: durationMs > 0 ? areaMs[stage] / durationMs : 0,
          most: most[stage],
        })),
      };
    },
  };
}

const noDepths = () => recordOf(depthStages, () => 0);

/** A record with a value for each name. */
export function recordOf<N extends string, V>(names: readonly N[], make: (name: N) => V): Record<N, V> {
  // the entries have exactly these names
  return Object.fromEntries(names.map((name) => [name, make(name)])) as Record<N, V>;
}

const eventForm = z.looseObject({ time: z.iso.datetime(), type: z.string() });

/** The events in a file of `fetch --events`, with their times in milliseconds since the epoch. */
export async function* eventsIn(path: string): AsyncGenerator<readonly [event: BatchEvent, timeMs: number]> {
  for await (const line of createInterface({ input: createReadStream(path) })) {
    const event = eventForm.parse(JSON.parse(line));
    yield [event as unknown as BatchEvent, Date.parse(event.time)]; // a process of ours has just written it
  }
}

/** Adds up the events in a file. */
export async function readEvents(path: string): Promise<EventSummary> {
  const sum = addUp();
  for await (const [event, timeMs] of eventsIn(path)) sum.take(event, timeMs);
  return sum.read();
}
