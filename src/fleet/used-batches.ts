import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

import * as z from 'zod';

import { checkShape } from '../image/shape.ts';
import { setNewest } from '../system/bounded-map.ts';
import { errnoOf, systemFailure } from '../system/errno.ts';
import { readFound } from '../system/files.ts';
import { syncDirectory } from '../system/write-files.ts';
import type { Batch } from './batch.ts';
import { batchIdShape, nameShape, timeShape } from './document.ts';

/** A batch that is not to be worked on again. */
type UsedBatch = {
  readonly id: string;
  readonly name: string;
  readonly expiresAtMs: number;
  readonly endedAtMs: number;
  readonly isCancelled: boolean;
};

/**
 * The batches that have ended on this machine, until they expire: whoever can write to the queue may put one there again. Several workers
 * of one store share this memory.
 */
export type UsedBatches = {
  find(id: string): Promise<UsedBatch | undefined>;
  /** Notes that a batch has ended. What was noted of it first stays, unless it is cancelled later. */
  note(
    batch: Pick<Batch, 'id' | 'name' | 'expiresAtMs'>,
    end: Pick<UsedBatch, 'endedAtMs' | 'isCancelled'>,
  ): Promise<void>;
};

const shape: z.ZodType<UsedBatch> = z.strictObject({
  id: batchIdShape,
  name: nameShape,
  expiresAtMs: timeShape,
  endedAtMs: timeShape,
  isCancelled: z.boolean(),
});

const maxBytes = 4096;
/** More are not kept: those go first that expire first. */
const most = 10_000;
/** The clock of this machine may have been wrong when a batch seemed to be expired. */
const spareMs = 24 * 60 * 60_000;

/**
 * Opens the memory of a worker: a directory in its store, with a small file for each batch. A disk that is full stops no worker: what
 * cannot be written counts for this process.
 */
export async function openUsedBatches(
  directory: string,
  nowMs: number,
  onWarning: (message: string) => void,
): Promise<UsedBatches> {
  const warn = (what: string, error: unknown): void => {
    const failure = systemFailure(error);
    if (!failure) throw error;
    onWarning(`${what}: ${failure.what}`);
  };
  try {
    await mkdir(directory, { recursive: true, mode: 0o755 });
    await forgetExpired(directory, nowMs);
  } catch (error) {
    warn('which batches end here cannot be kept', error);
  }
  const unwritten = new Map<string, UsedBatch>();
  const find = async (id: string): Promise<UsedBatch | undefined> =>
    unwritten.get(id) ?? readUsed(join(directory, `${id}.json`));
  return {
    find,
    async note({ id, name, expiresAtMs }, { endedAtMs, isCancelled }) {
      const before = await find(id);
      if (before && (before.isCancelled || !isCancelled)) return;
      const used = { id, name, expiresAtMs, endedAtMs: before?.endedAtMs ?? endedAtMs, isCancelled };
      try {
        await write(directory, used);
      } catch (error) {
        warn(`that the batch ${name} has ended is known until this worker ends, and not kept`, error);
        setNewest(unwritten, id, used, most);
      }
    },
  };
}

/** @returns undefined also for a file that a power cut left half written: it was not renamed then, or the disk has lost it */
async function readUsed(path: string): Promise<UsedBatch | undefined> {
  try {
    const shaped = checkShape(shape, JSON.parse((await readFound(path, maxBytes)).toString()));
    return shaped.ok ? shaped.value : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function write(directory: string, used: UsedBatch): Promise<void> {
  const path = join(directory, `${used.id}.json`);
  const temporary = `${path}.${process.pid}.part`;
  await rm(temporary, { force: true });
  {
    await using file = await open(temporary, 'wx', 0o644);
    await file.writeFile(JSON.stringify(used));
    await file.datasync();
  }
  await rename(temporary, path);
  await syncDirectory(directory);
}

async function forgetExpired(directory: string, nowMs: number): Promise<void> {
  const left: { readonly path: string; readonly expiresAtMs: number }[] = [];
  for (const name of await readdir(directory)) {
    const path = join(directory, name);
    const expiresAtMs = (await readUsed(path))?.expiresAtMs ?? (await changedAt(path));
    if (expiresAtMs + spareMs < nowMs) await rm(path, { force: true });
    else left.push({ path, expiresAtMs });
  }
  left.sort((one, other) => one.expiresAtMs - other.expiresAtMs);
  for (const { path } of left.slice(0, Math.max(0, left.length - most))) await rm(path, { force: true });
}

async function changedAt(path: string): Promise<number> {
  return (await stat(path).catch(() => undefined))?.mtimeMs ?? 0;
}
