import type { ActionOptions } from './action-options.ts';
import { createSlots } from './coordinator/slots.ts';
import { ImageError } from './errors.ts';
import type { FetchContext, PullPolicy } from './fetchers/context.ts';
import { defaultLimits } from './image/limits.ts';
import { isHttpsAuthentic } from './is-https-authentic.ts';
import { openClient } from './open-client.ts';
import { defaultJobs, openFetchPool } from './open-fetch-pool.ts';
import { openRegistries } from './open-registries.ts';

/** Transfers at once from one host. */
const defaultJobsPerHost = 6;

/** Everything that the fetches of one fetcher or finder share. */
export function openContext(options: ActionOptions): FetchContext & { close(): Promise<void> } {
  const { store, keystore, insecure = {}, onEvent = () => undefined } = options;
  const policy = policyOf(options);
  const limits = Object.freeze({ ...defaultLimits, ...options.limits });
  const http = openClient(options, limits);
  const pool = options.pool ?? openFetchPool(options);

  const tally = { requests: 0, retries: 0 };
  const platform = { platform: process.platform, arch: process.arch };

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
    slots: createSlots({ jobs: options.jobs ?? defaultJobs, jobsPerHost: options.jobsPerHost ?? defaultJobsPerHost }),
    onEvent,
    tally,
    nowMs: Date.now,
    async close() {
      await Promise.all([http.close(), pool === options.pool ? undefined : pool.close()]);
    },
  };
}

function policyOf({ storeOnly, noStore, pullPolicy = 'new' }: ActionOptions): PullPolicy {
  if (storeOnly && noStore) throw new ImageError('USAGE', 'storeOnly and noStore contradict each other', {});
  if (storeOnly) return 'never';
  return noStore ? 'update' : pullPolicy;
}
