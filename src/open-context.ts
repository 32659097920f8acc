import { availableParallelism } from 'node:os';

import type { ActionOptions } from './action-options.ts';
import { createSlots } from './coordinator/slots.ts';
import { ImageError } from './errors.ts';
import type { FetchContext, PullPolicy } from './fetchers/context.ts';
import { defaultLimits } from './image/limits.ts';
import { isHttpsAuthentic } from './is-https-authentic.ts';
import { openClient } from './open-client.ts';
import { openRegistries } from './open-registries.ts';
import { openPool } from './pool/pool.ts';

/** What the defaults of ActionOptions say, in one place. */
const defaults = { jobs: 16, jobsPerHost: 6 };

/** Everything that the fetches of one fetcher or finder share. */
export function openContext(options: ActionOptions): FetchContext & { close(): Promise<void> } {
  const { store, keystore, insecure = {}, onEvent = () => undefined } = options;
  const policy = policyOf(options);
  const limits = Object.freeze({ ...defaultLimits, ...options.limits });
  const jobs = options.jobs ?? defaults.jobs;
  const workers = options.workers ?? availableParallelism();

  const http = openClient(options, limits);
  // A transfer that has come leaves its place only once it is ingested: so many sessions may be under way, and a few more.
  const pool = openPool({ workers, sessionsPerWorker: Math.ceil(jobs / workers) + 1 });

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
    slots: createSlots({ jobs, jobsPerHost: options.jobsPerHost ?? defaults.jobsPerHost }),
    onEvent,
    tally,
    nowMs: Date.now,
    async close() {
      await Promise.all([http.close(), pool.close()]);
    },
  };
}

function policyOf({ storeOnly, noStore, pullPolicy = 'new' }: ActionOptions): PullPolicy {
  if (storeOnly && noStore) throw new ImageError('USAGE', 'storeOnly and noStore contradict each other', {});
  if (storeOnly) return 'never';
  return noStore ? 'update' : pullPolicy;
}
