import type { Presence } from '../../../fleet/result.ts';
import { hasCode } from '../../../internal.ts';
import type { Run } from '../../command.ts';
import { textOf } from '../../options/read.ts';
import { exitCodes } from '../../output/exit-code.ts';
import { createMessages } from '../../output/messages.ts';
import { formatTable, toSafeJson } from '../../output/table.ts';
import { write } from '../../output/write.ts';
import type { BatchState } from './outcomes.ts';
import { type FleetReader, openReader, type Watched } from './reader.ts';

/** `fleet status [NAME]`: how far batches are, and which workers are there. */
export const runFleetStatus: Run = async (io, line) => {
  const [named] = line.operands;
  const { stdout, stderr } = io;
  const messages = createMessages((text) => void stderr.write(`${text}\n`), stderr);
  await using resources = new AsyncDisposableStack();
  const reader = await openReader(resources, { io, line, onWarning: messages.warn });
  const batches = named
    ? [await rowOf(await reader.open(named.text))]
    : await rowsOf(reader, (message) => messages.warn(message));
  const workers = (await reader.workers()).toSorted((a, b) => (a.worker < b.worker ? -1 : 1));
  const isJson = textOf(line, 'output') === 'json';
  await write(stdout, isJson ? `${toSafeJson(documentOf(batches, workers))}\n` : tablesOf(batches, workers));
  return exitCodes.success;
};

type BatchRow = {
  readonly name: string;
  readonly id: string;
  readonly state: BatchState;
  readonly use: 'shard' | 'everywhere';
  readonly to?: string;
  readonly images: number;
  /** Images that have a result. */
  readonly done: number;
  /** Those of them that failed. */
  readonly failed: number;
  readonly createdAt: string;
  readonly expiresAt: string;
  /** What each of the workers has reported. */
  readonly workers: readonly { readonly worker: string; readonly images: number; readonly failed: number }[];
};

async function rowsOf(reader: FleetReader, onWarning: (message: string) => void): Promise<readonly BatchRow[]> {
  const rows: BatchRow[] = [];
  for (const name of await reader.names()) {
    try {
      rows.push(await rowOf(await reader.open(name)));
    } catch (error) {
      if (hasCode(error, 'BATCH_NOT_FOUND')) continue; // it has gone meanwhile
      const isForeign = hasCode(error, 'QUEUE_UNAVAILABLE') && error.details.reason === 'notRedis';
      if (!isForeign && !hasCode(error, 'BATCH_INVALID')) throw error;
      onWarning(`the batch ${name} is not believed: ${error.message}`);
    }
  }
  return rows.toSorted((a, b) => (a.createdAt < b.createdAt ? -1 : 1));
}

async function rowOf(watched: Watched): Promise<BatchRow> {
  const { name, id, use, to, images, createdAtMs, expiresAtMs } = watched.batch;
  const results = await watched.fresh();
  const own = results.filter(({ isCopy }) => !isCopy);
  const workers = [...Map.groupBy(results, ({ worker }) => worker)].map(([worker, of]) => ({
    ...{ worker, images: of.length },
    failed: of.filter(({ outcome }) => outcome.error).length,
  }));
  return {
    ...{ name, id, use, ...(to !== undefined && { to }), images: images.length, done: own.length },
    state: await watched.state(),
    failed: own.filter(({ outcome }) => outcome.error).length,
    createdAt: new Date(createdAtMs).toISOString(),
    expiresAt: new Date(expiresAtMs).toISOString(),
    workers: workers.toSorted((a, b) => (a.worker < b.worker ? -1 : 1)),
  };
}

function documentOf(batches: readonly BatchRow[], workers: readonly Presence[]) {
  const present = workers.map(({ worker, batch, origin, atMs }) => ({
    ...{ worker, ...(batch !== undefined && { batch }), ...(origin !== undefined && { origin }) },
    at: new Date(atMs).toISOString(),
  }));
  return { schema: 'longshore.fleet/1', batches, workers: present };
}

/** What a queue has was checked when it was read: all of these texts are safe to display. */
function tablesOf(batches: readonly BatchRow[], workers: readonly Presence[]): string {
  const rows = batches.map(({ name, state, images, done, failed, use, to, expiresAt }) => [
    ...[name, state, `${done}/${images}`, String(failed), to ?? (use === 'everywhere' ? 'everywhere' : 'stores')],
    expiresAt.replace('T', ' ').slice(0, 16),
  ]);
  const present = workers.map(({ worker, batch = 'all', origin = '-' }) => [worker, batch, origin]);
  return [
    formatTable([['BATCH', 'STATE', 'DONE', 'FAILED', 'TO', 'EXPIRES'], ...rows], new Set([2, 3])),
    '\n',
    formatTable([['WORKER', 'BATCHES', 'ADDRESS'], ...present]),
  ].join('');
}
