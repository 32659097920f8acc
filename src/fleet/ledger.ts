import type { Redis } from 'ioredis';

import { ImageError, isImageError } from '../errors.ts';
import type { EnvelopeKey } from '../image/sigstore/dsse.ts';
import { abortable } from '../system/single-flight.ts';
import { signCancellation } from './accept.ts';
import { type Batch, batchKind } from './batch.ts';
import { envelopeLimit, isFleetName, signDocument } from './document.ts';
import { type QueueConnection, queueError } from './redis.ts';
import { presenceLimit, resultLimit } from './result.ts';

/** All keys of a fleet begin with this: braces keep them on one node of a cluster. */
export const keyPrefix = '{longshore}';

/** An envelope of a result, and where it is. */
export type Kept = { readonly field: string; readonly envelope: string };

/**
 * What a queue has beside the jobs: envelopes of batches, cancellations, results and workers. Who opens an envelope decides whether it
 * counts; here they are texts, of a bounded size.
 *
 * @throws QUEUE_UNAVAILABLE from each function
 */
export type Ledger = AsyncDisposable & {
  /** Signs a batch and adds it, all at once. The same batch may be added twice. @throws BATCH_EXISTS if the name is taken, BATCH_INVALID */
  submit(batch: Batch, key: EnvelopeKey): Promise<void>;
  /** The names of all batches that are there. */
  names(): Promise<readonly string[]>;
  /** @param limit - so many characters of it, at most. Default: all */
  envelope(name: string, limit?: number): Promise<string | undefined>;
  cancel(batch: Batch, key: EnvelopeKey): Promise<void>;
  /** The envelope of what cancels a batch. */
  cancellation(id: string): Promise<string | undefined>;
  /**
   * Adds a result.
   *
   * @param instead - what was found at this field and does not count. @returns whether it was added: nothing is reported twice
   */
  addResult(batch: ReportedBatch, kept: Kept, instead?: string): Promise<boolean>;
  result(id: string, field: string): Promise<string | undefined>;
  /** Notes which process begins with an image, until that is reported. @returns the result that is there already */
  begin(id: string, field: string, run: string): Promise<string | undefined>;
  /** Results in the order in which they came, some at a time. */
  results(id: string, from: number): Promise<Page>;
  /** Has a batch that is complete, and its results, go after the time that it asked for. */
  expire(batch: Pick<Batch, 'id' | 'name' | 'keepResultsMs'>): Promise<void>;
  /** Says for 15 seconds that a worker is there. */
  announce(worker: string, envelope: string): Promise<void>;
  leave(worker: string): Promise<void>;
  /** The envelopes of the workers that are there. */
  workers(): Promise<readonly string[]>;
  /**
   * Resolves at the latest after two seconds, or when a batch was added or cancelled, or has a result for each image. About `results`: also
   * when one was added.
   */
  news(signal: AbortSignal, about: NewsAbout): Promise<void>;
};

/** A worker that only brings images need not hear of each result. */
export type NewsAbout = 'batches' | 'results';

type ReportedBatch = Pick<Batch, 'id' | 'use' | 'expiresAtMs' | 'keepResultsMs'> & {
  readonly images: { length: number };
};

/** Some results, and where to go on. */
type Page = {
  readonly kept: readonly Kept[];
  readonly next: number;
  readonly isLast: boolean;
  /** How many there are in all. */
  readonly total: number;
  /** By which connection they were read: a Redis that has come back may have lost the last ones of those that were read before. */
  readonly connection: number;
};

const presenceMs = 15_000;
const pollMs = 2_000;
/** Of names, workers and results that are read at once. */
const most = { names: 10_000, workers: 4_096, results: 500, field: 128, bytes: 16 * 1024 * 1024 };
const batchLimit = envelopeLimit(batchKind);
const cancellationLimit = 128 * 1024;

const keys = {
  names: `${keyPrefix}:fleet:names`,
  workers: `${keyPrefix}:fleet:workers`,
  news: `${keyPrefix}:fleet:news`,
  newsOfResults: `${keyPrefix}:fleet:news:results`,
  batch: (name: string) => `${keyPrefix}:fleet:batch:${name}`,
  cancellation: (id: string) => `${keyPrefix}:fleet:cancellation:${id}`,
  results: (id: string) => `${keyPrefix}:fleet:results:${id}`,
  order: (id: string) => `${keyPrefix}:fleet:order:${id}`,
  worker: (name: string) => `${keyPrefix}:fleet:worker:${name}`,
};

/** Where a queue has which process works on an image. */
export const runsKey = (id: string): string => `${keyPrefix}:runs:${id}`;

/** The clock of Redis counts for what Redis has: those of machines may be wrong. */
const now = `
local time = redis.call('time')
local now = time[1] * 1000 + math.floor(time[2] / 1000)`;

/** A submitter that dies leaves all of a batch or nothing. */
const submitScript = `${now}
local have = redis.call('get', KEYS[1])
if have then return have == ARGV[1] and 1 or 0 end
redis.call('set', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('zadd', KEYS[2], now + ARGV[2], ARGV[3])
redis.call('publish', KEYS[3], 'batch')
return 1`;

/** Removes names whose time is over, and answers some of the others. */
const namesScript = `${now}
redis.call('zremrangebyscore', KEYS[1], 0, now)
local names = {}
for _, name in ipairs(redis.call('zrange', KEYS[1], 0, ARGV[1])) do
  if #name <= 100 then names[#names + 1] = name end
end
return names`;

const expireScript = `${now}
for at = 2, #KEYS do
  if redis.call('pttl', KEYS[at]) > tonumber(ARGV[1]) then redis.call('pexpire', KEYS[at], ARGV[1]) end
end
local score = redis.call('zscore', KEYS[1], ARGV[2])
if score and tonumber(score) > now + ARGV[1] then redis.call('zadd', KEYS[1], now + ARGV[1], ARGV[2]) end
return 1`;

const announceScript = `${now}
redis.call('set', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('zadd', KEYS[1], now + ARGV[3], ARGV[1])
return 1`;

const addResultScript = `
redis.call('hdel', KEYS[5], ARGV[1])
if ARGV[4] ~= '' and redis.call('hget', KEYS[1], ARGV[1]) == ARGV[4] then
  redis.call('hset', KEYS[1], ARGV[1], ARGV[2])
else
  if redis.call('hsetnx', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
  if redis.call('rpush', KEYS[2], ARGV[1]) == 1 then
    redis.call('pexpire', KEYS[1], ARGV[3])
    redis.call('pexpire', KEYS[2], ARGV[3])
  end
end
redis.call('publish', KEYS[3], 'result')
if redis.call('hlen', KEYS[1]) >= tonumber(ARGV[5]) then redis.call('publish', KEYS[4], 'results') end
return 1`;

/** Whoever wrote them, what is answered has a bounded size. */
const resultsScript = `
local fields = redis.call('lrange', KEYS[2], ARGV[1], ARGV[1] + ARGV[2] - 1)
local answer, bytes, read = {}, 0, 0
for _, field in ipairs(fields) do
  local size = redis.call('hstrlen', KEYS[1], field)
  if read > 0 and bytes + size > tonumber(ARGV[5]) then break end
  read = read + 1
  if size > 0 and size <= tonumber(ARGV[3]) and #field <= tonumber(ARGV[4]) then
    bytes = bytes + size
    answer[#answer + 1] = field
    answer[#answer + 1] = redis.call('hget', KEYS[1], field)
  end
end
table.insert(answer, 1, tostring(read))
table.insert(answer, 2, tostring(redis.call('hlen', KEYS[1])))
table.insert(answer, 3, tostring(redis.call('llen', KEYS[2])))
return answer`;

/** So that only their digests are sent. */
const scripts = {
  longshoreSubmit: { numberOfKeys: 3, lua: submitScript },
  longshoreNames: { numberOfKeys: 1, lua: namesScript },
  longshoreExpire: { numberOfKeys: 5, lua: expireScript },
  longshoreAnnounce: { numberOfKeys: 2, lua: announceScript },
  longshoreAddResult: { numberOfKeys: 5, lua: addResultScript },
  longshoreResults: { numberOfKeys: 2, lua: resultsScript },
};

type ScriptedRedis = Redis &
  Record<keyof typeof scripts, (...values: readonly (string | number)[]) => Promise<unknown>>;

function withScripts(redis: Redis): ScriptedRedis {
  for (const [name, script] of Object.entries(scripts)) redis.defineCommand(name, script);
  return redis as ScriptedRedis; // with what was just defined
}

/** Opens the ledger of a queue. It has a connection of its own for news, which is closed with it. */
export function openLedger(
  { redis: plain, address }: Pick<QueueConnection, 'redis' | 'address'>,
  nowMs: () => number,
): Ledger {
  const redis = withScripts(plain);
  const news = openNews(redis);
  let connection = 0;
  redis.on('ready', () => void (connection += 1));
  /** Runs a command; an error of it becomes one that may be shown. */
  const ask = async <T>(command: () => Promise<T>): Promise<T> => {
    try {
      return await command();
    } catch (error) {
      throw isImageError(error) ? error : queueError(error, address);
    }
  };
  const textAt = async (key: string, limit: number): Promise<string | undefined> => {
    const text = await ask(() => redis.getrange(key, 0, limit));
    return text === '' ? undefined : text;
  };
  const resultOf = async (id: string, field: string, size: number): Promise<string | undefined> => {
    if (size === 0 || size > resultLimit) return undefined;
    return (await ask(() => redis.hget(keys.results(id), field))) ?? undefined;
  };
  const listNames = async (key: string, maximum: number): Promise<readonly string[]> => {
    const found = await ask(() => redis.longshoreNames(key, maximum - 1));
    return (found as readonly string[]).filter(isFleetName);
  };
  return {
    async submit(batch, key) {
      const { name, expiresAtMs, keepResultsMs } = batch;
      const envelope = await signDocument(batchKind, batch, key);
      const found = [keys.batch(name), keys.names, keys.news];
      const lifeMs = Math.max(1, expiresAtMs + keepResultsMs - nowMs());
      const isAdded = await ask(() => redis.longshoreSubmit(...found, envelope, lifeMs, name));
      if (isAdded !== 1)
        throw new ImageError('BATCH_EXISTS', `there is another batch of the name ${name}`, { batch: name });
    },
    names: () => listNames(keys.names, most.names),
    envelope: (name, limit = batchLimit + 1) => textAt(keys.batch(name), limit - 1),
    async cancel(batch, key) {
      const envelope = await signCancellation(batch, key, nowMs());
      const lifeMs = Math.max(1, batch.expiresAtMs + batch.keepResultsMs - nowMs());
      await ask(() => redis.set(keys.cancellation(batch.id), envelope, 'PX', lifeMs));
      await ask(() => redis.publish(keys.news, 'cancellation'));
    },
    cancellation: (id) => textAt(keys.cancellation(id), cancellationLimit),
    async addResult({ id, use, images, expiresAtMs, keepResultsMs }, { field, envelope }, instead = '') {
      const lifeMs = Math.max(1, expiresAtMs + keepResultsMs - nowMs());
      const found = [keys.results(id), keys.order(id), keys.newsOfResults, keys.news, runsKey(id)];
      const all = use === 'shard' ? images.length : Number.MAX_SAFE_INTEGER; // who copies hears of each result
      return (await ask(() => redis.longshoreAddResult(...found, field, envelope, lifeMs, instead, all))) === 1;
    },
    result: async (id, field) => resultOf(id, field, await ask(() => redis.hstrlen(keys.results(id), field))),
    async begin(id, field, run) {
      const both = redis.pipeline().hset(runsKey(id), field, run).hstrlen(keys.results(id), field);
      const [, [error, size] = []] = (await ask(() => both.exec())) ?? [];
      if (error) throw queueError(error, address);
      return resultOf(id, field, Number(size));
    },
    async results(id, from) {
      const found = [keys.results(id), keys.order(id)];
      const bounds = [most.results, resultLimit, most.field, most.bytes];
      const answer = (await ask(() => redis.longshoreResults(...found, from, ...bounds))) as readonly string[];
      const [read = '0', total = '0', length = '0', ...rest] = answer;
      const next = from + Number(read);
      const kept: Kept[] = [];
      for (let at = 0; at + 1 < rest.length; at += 2)
        kept.push({ field: rest[at] ?? '', envelope: rest[at + 1] ?? '' });
      return { kept, next, isLast: next >= Number(length), total: Number(total), connection };
    },
    async expire({ id, name, keepResultsMs }) {
      const found = [keys.names, keys.batch(name), keys.cancellation(id), keys.results(id), keys.order(id)];
      await ask(() => redis.longshoreExpire(...found, `${keepResultsMs}`, name));
    },
    async announce(worker, envelope) {
      await ask(() => redis.longshoreAnnounce(keys.workers, keys.worker(worker), worker, envelope, presenceMs));
    },
    async leave(worker) {
      await ask(() => redis.multi().del(keys.worker(worker)).zrem(keys.workers, worker).exec());
    },
    async workers() {
      const names = await listNames(keys.workers, most.workers);
      const found = await Promise.all(names.map((name) => textAt(keys.worker(name), presenceLimit)));
      return found.filter((envelope) => envelope !== undefined);
    },
    news: (signal, about) => news.next(signal, about),
    [Symbol.asyncDispose]: () => news.close(),
  };
}

/** A connection that hears of what others add. If it does not hear, as while Redis is away, looking every two seconds does. */
function openNews(redis: Redis) {
  /** A promise for all of them would keep something of each one that has gone on without news. */
  const waiting = { batches: new Set<() => void>(), results: new Set<() => void>() };
  const channels = { batches: keys.news, results: keys.newsOfResults };
  const listening = new Set<NewsAbout>();
  let listener: Redis | undefined;
  const tell = (about: NewsAbout): void => {
    for (const wake of waiting[about]) wake();
  };
  const open = (): Redis => {
    const opened = redis.duplicate({ maxRetriesPerRequest: null, lazyConnect: false });
    opened.on('error', () => undefined); // the first connection tells
    opened.on('message', (channel: string) => tell(channel === channels.results ? 'results' : 'batches'));
    return opened;
  };
  const listen = (about: NewsAbout): void => {
    if (listening.has(about)) return;
    listening.add(about);
    listener ??= open();
    listener.subscribe(channels[about]).catch(() => undefined);
  };
  return {
    async next(signal: AbortSignal, about: NewsAbout): Promise<void> {
      listen('batches');
      listen(about);
      const { promise, resolve: wake } = Promise.withResolvers<void>();
      const both = [waiting.batches, waiting[about]];
      for (const one of both) one.add(wake);
      const timer = setTimeout(wake, pollMs);
      try {
        await abortable(promise, signal);
      } finally {
        clearTimeout(timer);
        for (const one of both) one.delete(wake);
      }
    },
    close(): Promise<void> {
      listener?.disconnect();
      return Promise.resolve();
    },
  };
}
