import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';

import * as z from 'zod';

import { addDepths, type Depths } from './depths.ts';
import { addIngests, type IngestSums } from './ingest-sums.ts';
import { addPhases, type Phases } from './phases.ts';

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
