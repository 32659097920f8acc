import { availableParallelism } from 'node:os';

import type { ActionOptions } from './action-options.ts';
import { createSlots } from './coordinator/slots.ts';
import { ImageError } from './errors.ts';
import type { FetchContext, PullPolicy } from './fetchers/context.ts';
import { openHttp } from './http/open-http.ts';
import { parseConnectTo } from './http/connect-to.ts';
import { defaultLimits, defaultTimeouts } from './image/limits.ts';
import { openPool } from './pool/pool.ts';

/** What the defaults of ActionOptions say, in one place. */
const defaults = { jobs: 16, jobsPerHost: 6, retries: 4 };
const userAgent = 'longshore/0.1';

/** Everything that the fetches of one fetcher or finder share. */
export function openContext(options: ActionOptions): FetchContext & { close(): Promise<void> } {
  const { store, keystore, headers = {}, insecure = {}, onEvent = () => undefined, proxy = {} } = options;
  const policy = policyOf(options);
  const limits = Object.freeze({ ...defaultLimits, ...options.limits });
  const timeouts = { ...defaultTimeouts, ...options.timeouts };
  const jobs = options.jobs ?? defaults.jobs;
  const workers = options.workers ?? availableParallelism();

  const http = openHttp({
    timeouts: { connectMs: timeouts.connect, headersMs: timeouts.headers, stallMs: timeouts.stall },
    limits: { archiveBytes: limits.archive, redirects: limits.redirects, retryAfterMs: limits.retryAfter },
    retries: options.retries ?? defaults.retries,
    insecureTls: insecure.tls ?? false,
    connectTo: (options.connectTo ?? []).map(parseConnectTo),
    denyNet: options.denyNet ?? [],
    proxy,
    credentials: ({ host }) => headers[host],
    userAgent,
    ...(options.ca && { ca: options.ca }),
    ...(options.limitRate !== undefined && { limitRate: options.limitRate }),
    ...(options.minRate !== undefined && { minRate: options.minRate }),
    ...(options.transport && { transport: options.transport }),
  });
  // A transfer that has come leaves its place only once it is ingested: so many sessions may be under way, and a few more.
  const pool = openPool({ workers, sessionsPerWorker: Math.ceil(jobs / workers) + 1 });

  return {
    store,
    http,
    pool,
    keystore: insecure.image ? undefined : keystore,
    policy,
    noCache: options.noCache ?? false,
    weakKeys: insecure.weakKeys ?? false,
    discovery: { allowHttp: insecure.http ?? false, origins: options.discover ?? [] },
    trustKeysFromHTTPS: options.trustKeysFromHTTPS ?? false,
    platform: { platform: process.platform, arch: process.arch },
    limits,
    slots: createSlots({ jobs, jobsPerHost: options.jobsPerHost ?? defaults.jobsPerHost }),
    onEvent,
    tally: { requests: 0, retries: 0 },
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
