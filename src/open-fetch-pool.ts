import { availableParallelism } from 'node:os';

import type { ActionOptions } from './action-options.ts';
import { openPool, type Pool } from './pool/pool.ts';

/** Transfers at once. */
export const defaultJobs = 16;

/** The threads that a fetcher or finder with these options works with: for who has them start before it is there. */
export function openFetchPool({ jobs = defaultJobs, workers }: Pick<ActionOptions, 'jobs' | 'workers'>): Pool {
  const threads = workers ?? availableParallelism();
  // A transfer that has come leaves its place only once it is ingested: so many sessions may be under way, and a few more.
  return openPool({ workers: threads, sessionsPerWorker: Math.ceil(jobs / threads) + 1 });
}
