import { availableParallelism } from 'node:os';

import type { ActionOptions } from './action-options.ts';
import { ImageError } from './errors.ts';
import { openPool, type Pool } from './pool/pool.ts';
import { spareFiles } from './system/spare-files.ts';

/** Transfers at once. */
export const defaultJobs = 16;

/** What a thread needs, most while it starts; and a transfer: sockets, what it fills, what is read and written of it. */
const filesPerThread = 8;
const filesPerJob = 8;
/** For the index, for directories that are synced, and what is loaded later. */
const reservedFiles = 16;

/** How much is done at once: less than asked for where this process may open few files. */
export function concurrencyOf(
  { jobs = defaultJobs, workers = availableParallelism() }: Pick<ActionOptions, 'jobs' | 'workers'>,
  spare = spareFiles(),
): { readonly jobs: number; readonly workers: number } {
  const files = spare - reservedFiles;
  const threads = clamp(files / 2 / filesPerThread, workers);
  return { workers: threads, jobs: clamp((files - threads * filesPerThread) / filesPerJob, jobs) };
}

function clamp(possible: number, wanted: number): number {
  return Math.max(1, Math.min(wanted, Math.floor(possible)));
}

/** What begins nevertheless fails anywhere, with whatever is opened last. */
function tooFewFiles(spare: number): ImageError {
  const message = `too many files are open in this process: it may open ${Math.max(0, spare)} more, and needs ${reservedFiles} (EMFILE)`;
  return new ImageError('FILE_UNREADABLE', message, { path: '/proc/self/fd', errno: 'EMFILE' });
}

/** The threads that a fetcher or finder with these options works with: for who has them start before it is there. @throws FILE_UNREADABLE */
export function openFetchPool(options: Pick<ActionOptions, 'jobs' | 'workers'>): Pool {
  const spare = spareFiles();
  if (spare < reservedFiles) throw tooFewFiles(spare);
  const { jobs, workers: threads } = concurrencyOf(options, spare);
  // A transfer that has come leaves its place only once it is ingested: so many sessions may be under way, and a few more.
  return openPool({ workers: threads, sessionsPerWorker: Math.ceil(jobs / threads) + 1 });
}
