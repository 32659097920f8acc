import type { ActionOptions } from './action-options.ts';
import { createSlots } from './coordinator/slots.ts';
import { ImageError } from './errors.ts';
import type { FetchContext, PullPolicy } from './fetchers/context.ts';
import { defaultLimits } from './image/limits.ts';
import { isHttpsAuthentic } from './is-https-authentic.ts';
import { openClient } from './open-client.ts';
import { concurrencyOf, defaultJobs, openFetchPool } from './open-fetch-pool.ts';
import { openRegistries } from './open-registries.ts';

/** Transfers at once from one host. */
const defaultJobsPerHost = 6;

/** Everything that the fetches of one fetcher or finder share. */
export type OpenContext = FetchContext & {
  /** Resolves when nothing is being tidied up any more. */
  tidied(): Promise<void>;
  close(): Promise<void>;
};

export function openContext(options: ActionOptions): OpenContext {
  const { store, keystore, insecure = {}, onEvent = () => undefined } = options;
  const policy = policyOf(options);
  const limits = Object.freeze({ ...defaultLimits, ...options.limits });
  const http = openClient(options, limits);
  const { jobs } = concurrencyOf(options);
  if (jobs < (options.jobs ?? defaultJobs)) onEvent({ type: 'warning', message: fewFiles(jobs) });
  const pool = options.pool ?? openFetchPool(options);

  const tally = { requests: 0, retries: 0 };
  const platform = { platform: process.platform, arch: process.arch };
  const tidying = new Set<Promise<unknown>>();

  return {
    store,
    http,
    pool,
    keystore: insecure.image ? undefined : keystore,
    policy,
    noCache: options.noCache ?? false,
    weakKeys: insecure.weakKeys ?? false,
    registries: openRegistries(options, { http, limits, platform, onEvent, tally, nowMs: Date.now }),
    discovery: { allowHttp: insecure.http ?? false, origins: options.discover ?? [] },
    trustKeysFromHTTPS: options.trustKeysFromHTTPS === true && isHttpsAuthentic(insecure),
    platform,
    limits,
    slots: createSlots({ jobs, jobsPerHost: options.jobsPerHost ?? defaultJobsPerHost }),
    tidy(work) {
      const over = work.catch(() => undefined).finally(() => tidying.delete(over));
      tidying.add(over);
    },
    onEvent,
    tally,
    nowMs: Date.now,
    async tidied() {
      await Promise.all(tidying);
    },
    async close() {
      await Promise.all([...tidying, http.close(), pool === options.pool ? undefined : pool.close()]);
    },
  };
}

function fewFiles(jobs: number): string {
  const transfers = jobs === 1 ? 'one transfer' : `${jobs} transfers`;
  return `${transfers} at a time: this process may open few files, as "ulimit -n" says`;
}

function policyOf({ storeOnly, noStore, pullPolicy = 'new' }: ActionOptions): PullPolicy {
  if (storeOnly && noStore) throw new ImageError('USAGE', 'storeOnly and noStore contradict each other', {});
  if (storeOnly) return 'never';
  return noStore ? 'update' : pullPolicy;
}
