import { availableParallelism } from 'node:os';

import type { Batch } from './batches.ts';
import { autoLevel, type KnownLevel } from './coordinator/level.ts';
import { createSlots } from './coordinator/slots.ts';
import { ImageError } from './errors.ts';
import type { EventSink } from './events.ts';
import { createAnswers } from './fetchers/answers.ts';
import type { FetchContext, PullPolicy, Registries } from './fetchers/context.ts';
import { parseConnectTo } from './http/connect.ts';
import type { Http, TlsMaterial } from './http/contract.ts';
import { createTraffic } from './http/exchange.ts';
import { openHttp } from './http/open-http.ts';
import { type AppInput, isOfRegistry } from './image/apps.ts';
import { defaultLimits, defaultTimeouts, type Limits, withDefaults } from './image/limits.ts';
import type { ActionOptions, Insecure, NetworkOptions } from './options.ts';
import { choicesOf } from './parse-apps.ts';
import { openPool, type Pool } from './pool/pool.ts';
import type { RegistryClient } from './registry/client.ts';
import { createMirrorHealth } from './registry/mirror-health.ts';
import { isHostOf } from './registry/place.ts';
import { createRecentDocuments } from './registry/recent-documents.ts';
import { spareFiles } from './system/spare-files.ts';
import { createVerifier, type Verifier } from './verify/verify.ts';

/** What the batches of one fetcher or finder share. */
export type OpenContext = Pick<FetchContext, 'store' | 'pool'> & {
  /** Has work done with what the batch needs. Resolves when nothing of it is being tidied up any more. */
  withBatch<T>(batch: Pick<Batch, 'onEvent'>, work: (context: FetchContext) => Promise<T>): Promise<T>;
  /** To be called when all batches have ended. */
  close(): Promise<void>;
};

/** @param onEvent - told of what is about no single batch. @throws USAGE, FILE_UNREADABLE */
export function openContext(options: ActionOptions, onEvent: EventSink): OpenContext {
  const { store, insecure = {} } = options;
  const policy = policyOf(options);
  const limits = withDefaults(defaultLimits, options.limits);
  const http = openClient(options, limits);
  const wanted = wantedJobs(options.jobs);
  const { jobs } = concurrencyOf({ ...options, jobs: wanted });
  const { jobsPerHost = 'auto' } = options;
  if (jobs < wanted) onEvent({ type: 'warning', message: fewFiles(jobs) });
  const pool = options.pool ?? openFetchPool(options);
  let knownLevels: Awaited<ReturnType<typeof store.hostLevels>> = new Map();
  const reading = store.hostLevels().then(
    (levels) => void (knownLevels = levels),
    () => undefined, // it only makes fetches faster
  );
  const slots = createSlots({ jobs, jobsPerHost, knownLevel: (host) => knownLevels.get(host) });
  const platform = { platform: process.platform, arch: process.arch };
  const shared = {
    store,
    http,
    pool,
    verifier: openVerifier(options, { pool, limits }),
    policy,
    noCache: options.noCache ?? false,
    keepArchives: options.keepArchives ?? false,
    ...(options.archivePeers && {
      archivePeers: {
        lookup: options.archivePeers,
        health: createMirrorHealth({ nowMs: Date.now, onWarning: (message) => onEvent({ type: 'warning', message }) }),
      },
    }),
    registries: openRegistries(options, { http, limits, platform, onEvent, nowMs: Date.now }),
    answers: createAnswers({
      maxAgeMs: options.resolveMaxAgeMs ?? defaultResolveMaxAgeMs,
      headersFor: (host) => options.headers?.[host],
      network: networkOf(options),
    }),
    discovery: {
      allowHttp: insecure.http ?? false,
      keysByHttp: insecure.pubkey ?? false,
      origins: options.discover ?? [],
    },
    trustKeysFromHTTPS: options.trustKeysFromHTTPS === true && isHttpsAuthentic(insecure),
    platform,
    limits,
    slots,
    concurrency: { jobs, jobsPerHost: jobsPerHost === 'auto' ? autoLevel.most : jobsPerHost },
    nowMs: Date.now,
  };

  return {
    store,
    pool,
    async withBatch(batch, work) {
      const tidying = new Set<Promise<unknown>>();
      const context: FetchContext = {
        ...shared,
        onEvent: batch.onEvent,
        tally: { requests: 0, retries: 0 },
        traffic: createTraffic(),
        tidy(work) {
          const over = work.catch(() => undefined).finally(() => tidying.delete(over));
          tidying.add(over);
        },
      };
      try {
        return await work(context);
      } finally {
        await Promise.all(tidying);
      }
    },
    async close() {
      await reading;
      await keepLevels(store, slots.learned());
      await Promise.all([http.close(), pool === options.pool ? undefined : pool.close()]);
    },
  };
}

const defaultResolveMaxAgeMs = 300_000;

/** The settings on which it depends which servers answer, and which of them are believed. Proxies are without their passwords. */
function networkOf({
  insecure = {},
  ca,
  certificates,
  mirrors,
  discover,
  connectTo,
  denyNet,
  proxy = {},
  transport,
}: ActionOptions) {
  const withoutPassword = (url: string | undefined) => url?.replace(/^([^/]*\/\/)[^/]*@/, '$1');
  const { http, https, all, noProxy } = proxy;
  const proxies = [...[http, https, all].map(withoutPassword), noProxy];
  const material = [...(certificates ?? [])].map(([host, { ca: trusted, pairs }]) => [
    host,
    trusted,
    pairs.map(({ cert }) => cert),
  ]);
  const ways = [mirrors, discover, connectTo, denyNet, proxies, transport !== undefined];
  return [insecure.tls, insecure.http, ca, material, ...ways];
}

/** Keeps what was learned of hosts for later runs, if that is possible. */
async function keepLevels(store: FetchContext['store'], levels: ReadonlyMap<string, KnownLevel>): Promise<void> {
  if (levels.size > 0 && !store.readOnly) await store.putHostLevels(levels).catch(() => undefined);
}

/** Undefined without a keystore, and if the checks of images are switched off: then nothing is verified. */
function openVerifier(
  { keystore, policy, insecure = {} }: ActionOptions,
  { pool, limits }: Pick<FetchContext, 'pool' | 'limits'>,
): Verifier | undefined {
  if (!keystore || insecure.image) return undefined;
  const { weakKeys = false } = insecure;
  return createVerifier({ keystore, policy, pool, weakKeys, signatures: limits.signatures, nowMs: Date.now });
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

const defaultRetries = 4;
const userAgent = 'longshore/0.1';

/** Opens the http client of a finder. @throws USAGE */
export function openClient(options: NetworkOptions, limits: Limits): Http {
  const { headers = {}, insecure = {}, proxy = {} } = options;
  const timeouts = withDefaults(defaultTimeouts, options.timeouts);
  return openHttp({
    timeouts: { connectMs: timeouts.connect, headersMs: timeouts.headers, stallMs: timeouts.stall },
    limits: { archiveBytes: limits.archive, redirects: limits.redirects, retryAfterMs: limits.retryAfter },
    retries: options.retries ?? defaultRetries,
    insecureTls: insecure.tls ?? false,
    connectTo: (options.connectTo ?? []).map(parseConnectTo),
    denyNet: options.denyNet ?? [],
    proxy,
    credentials: ({ host }) => headers[host],
    userAgent,
    tlsFor: tlsFor(options),
    ...(options.ca && { ca: options.ca }),
    ...(options.limitRate !== undefined && { limitRate: options.limitRate }),
    ...(options.limitRates && { limitRates: ratesByServer(options.limitRates) }),
    ...(options.minRate !== undefined && { minRate: options.minRate }),
    ...(options.transport && { transport: options.transport }),
  });
}

/** Docker Hub is not served by the host that references name. */
function ratesByServer(rates: Readonly<Record<string, number>>): Readonly<Record<string, number>> {
  const ofHub = rates['docker.io'];
  return ofHub === undefined ? rates : { 'registry-1.docker.io': ofHub, ...rates };
}

/** The most bytes of cached configurations; usually enough for thousands. */
const recentBytes = 8 * 1024 * 1024;

type Context = Pick<FetchContext, 'http' | 'limits' | 'platform' | 'onEvent' | 'nowMs'>;

/** The settings for registry images. The client is created, and its code loaded, at the first one. @throws USAGE */
function openRegistries(options: ActionOptions, context: Context): Registries {
  let client: Promise<RegistryClient> | undefined;
  return {
    client: () => (client ??= openRegistryClient(options, context)),
    lookasides: options.lookasides ?? { scopes: new Map(), others: undefined, fallback: undefined },
    configs: createRecentDocuments(recentBytes),
    referrers: options.referrers ?? false,
    cosignPlaces: new Map(),
    listless: new Set(),
    ...choicesOf(options),
  };
}

async function openRegistryClient(
  { dockerCredentials = {}, registryCredentials, insecure = {}, mirrors = [], peers, certificates }: ActionOptions,
  { http, limits, onEvent, nowMs }: Context,
): Promise<RegistryClient> {
  const { createRegistryClient } = await import('./registry/client.ts');
  const { openCredentialChain } = await import('./registry/credentials/chain.ts');
  const onWarning = (message: string): void => void onEvent({ type: 'warning', message });
  const configured = openCredentialChain({ configured: dockerCredentials, files: [], environment: {}, onWarning });
  return createRegistryClient({
    http,
    credentials: async (...asked) => (await configured(...asked)) ?? registryCredentials?.(...asked),
    mirrors,
    ...(peers && { peers }),
    ...(certificates && { certificates }),
    allowHttp: insecure.http ?? false,
    limits,
    onWarning,
    nowMs,
  });
}

/** Of transfers at a time, by `auto`: at least and at most so many, for each processor, and the memory for one. */
const autoJobs = { least: 16, most: 64, perProcessor: 8, bytes: 16 * 1024 * 1024 };

/** How many transfers at a time the machine allows, but for its limit on files. */
function wantedJobs(jobs: number | 'auto' = 'auto'): number {
  if (jobs !== 'auto') return jobs;
  const { least, most, perProcessor, bytes } = autoJobs;
  const wanted = Math.max(least, Math.min(most, perProcessor * availableParallelism()));
  return clamp(process.availableMemory() / bytes, wanted);
}

/** The most file descriptors of a thread, which needs most while it starts, and of a transfer with its sockets and files. */
const filesPerThread = 8;
const filesPerJob = 8;
/** File descriptors for the index, for directories that are synced, and for modules that are loaded later. */
const reservedFiles = 16;

/** The numbers of transfers and threads: less than requested if this process may open few files. */
export function concurrencyOf(
  { jobs, workers = availableParallelism() }: Pick<ActionOptions, 'jobs' | 'workers'>,
  spare = spareFiles(),
): { readonly jobs: number; readonly workers: number } {
  const files = spare - reservedFiles;
  const threads = clamp(files / 2 / filesPerThread, workers);
  return { workers: threads, jobs: clamp((files - threads * filesPerThread) / filesPerJob, wantedJobs(jobs)) };
}

function clamp(possible: number, requested: number): number {
  return Math.max(1, Math.min(requested, Math.floor(possible)));
}

/** With fewer descriptors a fetch would fail later, at an arbitrary file. */
function tooFewFiles(spare: number): ImageError {
  const message = `too many files are open in this process: it may open ${Math.max(0, spare)} more, and needs ${reservedFiles} (EMFILE)`;
  return new ImageError('FILE_UNREADABLE', message, { path: '/proc/self/fd', errno: 'EMFILE' });
}

/** With so many images all threads are needed, whatever their sizes. */
const manyImages = 8;

type FetchPoolOptions = Pick<ActionOptions, 'jobs' | 'workers' | 'workerFile' | 'insecure'> & {
  /** What will be asked for, where it is known. */
  readonly apps?: readonly Pick<AppInput, 'image' | 'type'>[];
};

/** Opens the threads for a fetcher or finder with these options, so that they can start before it is created. @throws FILE_UNREADABLE */
export function openFetchPool(options: FetchPoolOptions): Pool {
  const spare = spareFiles();
  if (spare < reservedFiles) throw tooFewFiles(spare);
  const { jobs, workers: threads } = concurrencyOf(options, spare);
  const { apps = [] } = options;
  const hasArchives = apps.length === 0 || !apps.every(isOfRegistry);
  // each of the `jobs` transfers may have a session at the same time
  return openPool({
    workers: threads,
    sessionsPerWorker: Math.ceil(jobs / threads) + 1,
    least: apps.length < manyImages ? 1 : threads,
    loads: hasArchives ? (options.insecure?.image ? 'archives' : 'signed archives') : undefined,
    filename: options.workerFile,
  });
}

const noMaterial: TlsMaterial = { ca: [], pairs: [] };

/** The TLS material for a host, from the certificates and mirror rules of registries. */
export function tlsFor({
  certificates,
  mirrors = [],
}: Pick<NetworkOptions, 'certificates' | 'mirrors'>): (host: string) => TlsMaterial | undefined {
  const insecure = mirrors.flatMap(({ insecure, location, prefix, source, mirrors }) => [
    ...(insecure ? [{ prefix: location ?? prefix, ...(source !== undefined && { source }) }] : []),
    ...mirrors.flatMap((mirror) => (mirror.insecure ? [{ prefix: mirror.origin.replace(/^https?:\/\//, '') }] : [])),
  ]);
  return (server) => {
    const host = server === 'registry-1.docker.io' ? 'docker.io' : server; // the name in references
    const material = certificates?.get(host);
    return insecure.some((rule) => isHostOf(rule, host)) ? { ...noMaterial, ...material, insecure: true } : material;
  };
}

/** Whether https proves where a key comes from. It does not if certificates are not checked, unless `pubkey` accepts that. */
export function isHttpsAuthentic({ tls = false, pubkey = false }: Insecure): boolean {
  return !tls || pubkey;
}
