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
  envelope(name: string): Promise<string | undefined>;
  cancel(batch: Batch, key: EnvelopeKey): Promise<void>;
  /** The envelope of what cancels a batch. */
  cancellation(id: string): Promise<string | undefined>;
  /**
   * Adds a result.
   *
   * @param instead - what was found at this field and does not count. @returns whether it was added: nothing is reported twice
   */
  addResult(batch: Pick<Batch, 'id' | 'expiresAtMs' | 'keepResultsMs'>, kept: Kept, instead?: string): Promise<boolean>;
  result(id: string, field: string): Promise<string | undefined>;
  /** How many results there are. */
  countResults(id: string): Promise<number>;
  /** Results in the order in which they came, some at a time. @returns where to go on */
  results(id: string, from: number): Promise<{ readonly kept: readonly Kept[]; readonly next: number }>;
  /** Has a batch that is complete, and its results, go after the time that it asked for. */
  expire(batch: Pick<Batch, 'id' | 'name' | 'keepResultsMs'>): Promise<void>;
  /** Says for 15 seconds that a worker is there. */
  announce(worker: string, envelope: string): Promise<void>;
  leave(worker: string): Promise<void>;
  /** The envelopes of the workers that are there. */
  workers(): Promise<readonly string[]>;
  /** Resolves when something was added, at the latest after two seconds. */
  news(signal: AbortSignal): Promise<void>;
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
  batch: (name: string) => `${keyPrefix}:fleet:batch:${name}`,
  cancellation: (id: string) => `${keyPrefix}:fleet:cancellation:${id}`,
  results: (id: string) => `${keyPrefix}:fleet:results:${id}`,
  order: (id: string) => `${keyPrefix}:fleet:order:${id}`,
  worker: (name: string) => `${keyPrefix}:fleet:worker:${name}`,
};

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
return answer`;

/** Opens the ledger of a queue. It has a connection of its own for news, which is closed with it. */
export function openLedger(
  { redis, address }: Pick<QueueConnection, 'redis' | 'address'>,
  nowMs: () => number,
): Ledger {
  const news = openNews(redis);
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
  const listNames = async (key: string, maximum: number): Promise<readonly string[]> => {
    const found = await ask(() => redis.eval(namesScript, 1, key, maximum - 1));
    return (found as readonly string[]).filter(isFleetName);
  };
  return {
    async submit(batch, key) {
      const { name, expiresAtMs, keepResultsMs } = batch;
      const envelope = await signDocument(batchKind, batch, key);
      const found = [keys.batch(name), keys.names, keys.news];
      const lifeMs = Math.max(1, expiresAtMs + keepResultsMs - nowMs());
      const isAdded = await ask(() => redis.eval(submitScript, 3, ...found, envelope, lifeMs, name));
      if (isAdded !== 1)
        throw new ImageError('BATCH_EXISTS', `there is another batch of the name ${name}`, { batch: name });
    },
    names: () => listNames(keys.names, most.names),
    envelope: (name) => textAt(keys.batch(name), batchLimit),
    async cancel(batch, key) {
      const envelope = await signCancellation(batch, key, nowMs());
      const lifeMs = Math.max(1, batch.expiresAtMs + batch.keepResultsMs - nowMs());
      await ask(() => redis.set(keys.cancellation(batch.id), envelope, 'PX', lifeMs));
      await ask(() => redis.publish(keys.news, 'cancellation'));
    },
    cancellation: (id) => textAt(keys.cancellation(id), cancellationLimit),
    async addResult({ id, expiresAtMs, keepResultsMs }, { field, envelope }, instead = '') {
      const lifeMs = Math.max(1, expiresAtMs + keepResultsMs - nowMs());
      const found = [keys.results(id), keys.order(id), keys.news];
      return (await ask(() => redis.eval(addResultScript, 3, ...found, field, envelope, lifeMs, instead))) === 1;
    },
    async result(id, field) {
      const size = await ask(() => redis.hstrlen(keys.results(id), field));
      if (size === 0 || size > resultLimit) return undefined;
      return (await ask(() => redis.hget(keys.results(id), field))) ?? undefined;
    },
    countResults: (id) => ask(() => redis.hlen(keys.results(id))),
    async results(id, from) {
      const found = [keys.results(id), keys.order(id)];
      const bounds = [most.results, resultLimit, most.field, most.bytes];
      const answer = (await ask(() => redis.eval(resultsScript, 2, ...found, from, ...bounds))) as readonly string[];
      const [read = '0', ...rest] = answer;
      const kept: Kept[] = [];
      for (let at = 0; at + 1 < rest.length; at += 2)
        kept.push({ field: rest[at] ?? '', envelope: rest[at + 1] ?? '' });
      return { kept, next: from + Number(read) };
    },
    async expire({ id, name, keepResultsMs }) {
      const found = [keys.names, keys.batch(name), keys.cancellation(id), keys.results(id), keys.order(id)];
      await ask(() => redis.eval(expireScript, found.length, ...found, `${keepResultsMs}`, name));
    },
    async announce(worker, envelope) {
      await ask(() => redis.eval(announceScript, 2, keys.workers, keys.worker(worker), worker, envelope, presenceMs));
    },
    async leave(worker) {
      await ask(() => redis.multi().del(keys.worker(worker)).zrem(keys.workers, worker).exec());
    },
    async workers() {
      const names = await listNames(keys.workers, most.workers);
      const found = await Promise.all(names.map((name) => textAt(keys.worker(name), presenceLimit)));
      return found.filter((envelope) => envelope !== undefined);
    },
    news: (signal) => news.next(signal),
    [Symbol.asyncDispose]: () => news.close(),
  };
}

/** A connection that hears of what others add. If it does not hear, as while Redis is away, looking every two seconds does. */
function openNews(redis: Redis) {
  let heard = Promise.withResolvers<void>();
  let listener: Redis | undefined;
  const listen = (): void => {
    if (listener) return;
    listener = redis.duplicate({ maxRetriesPerRequest: null, lazyConnect: false });
    listener.on('error', () => undefined); // the first connection tells
    listener.on('message', () => {
      heard.resolve();
      heard = Promise.withResolvers();
    });
    listener.subscribe(keys.news).catch(() => undefined);
  };
  return {
    async next(signal: AbortSignal): Promise<void> {
      listen();
      const { promise } = heard;
      let timer: NodeJS.Timeout | undefined;
      const waited = new Promise<void>((resolve) => void (timer = setTimeout(resolve, pollMs)));
      try {
        await abortable(Promise.race([promise, waited]), signal);
      } finally {
        clearTimeout(timer);
      }
    },
    close(): Promise<void> {
      listener?.disconnect();
      return Promise.resolve();
    },
  };
}
