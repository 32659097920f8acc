import { randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { Redis } from 'ioredis';

import { type ClaimedBatch, type ClaimsOptions, type ClaimsTiming, openClaims } from '../../src/fleet/blob-claims.ts';
import { parseDigest } from '../../src/image/digest.ts';
import { openRedis, startRedis } from '../helpers/redis.ts';
import { until } from '../helpers/until.ts';

const shared = await openRedis();
test.after.always(async () => shared?.[Symbol.asyncDispose]());
const own = shared ? test : test.skip;

const signal = AbortSignal.timeout(600_000);
const blob = (name: string) => ({
  digest: parseDigest(`sha256:${Buffer.from(name).toString('hex').padStart(64, '0')}`),
  size: 1,
});
const newBatch = (): ClaimedBatch => ({ id: randomBytes(16).toString('hex'), expiresAtMs: Date.now() + 60_000 });
/** Nothing is lost by time: tests say who is lost. */
const timing: ClaimsTiming = { lifeMs: 600_000, renewMs: 600_000, missedMs: 0, pollMs: 20, stuckMs: 30_000 };

type WorkerOptions = Partial<ClaimsOptions> & {
  readonly reach?: 'served' | 'pushed' | undefined;
  readonly port?: number;
};

/** A worker with a connection of its own. */
function openWorker(batch: ClaimedBatch, worker: string, options: WorkerOptions = {}) {
  const { reach, port = shared?.port ?? 0, ...rest } = { reach: 'served' as const, ...options };
  const redis = new Redis({ port, host: '127.0.0.1', maxRetriesPerRequest: null, retryStrategy: () => 50 });
  redis.on('error', () => undefined);
  const run = randomUUID();
  const claims = openClaims({ redis, worker, run, nowMs: Date.now, timing, ...rest });
  const ofBatch = claims.of(batch, reach);
  const close = async () => {
    await claims[Symbol.asyncDispose]();
    redis.disconnect();
  };
  return {
    worker,
    redis,
    image: ofBatch.image,
    placeOf: ofBatch.placeOf,
    remove: ofBatch.remove,
    close,
    /** Takes the claims of an image. `may` has what it may ask for by now. */
    async begin(names: readonly string[], repository = `of-${worker}`) {
      const image = ofBatch.image();
      const reference = { host: 'registry.example', repository };
      const may = new Set<string>();
      const blobs = await image.sharing.begin({ key: '', reference }, names.map(blob), signal);
      const all = names.map((name) => blobs.mayAsk(blob(name).digest, signal).then(() => void may.add(name)));
      await Promise.race([Promise.all(all), new Promise(setImmediate)]);
      return { may, all: Promise.all(all), end: image.end };
    },
    /** It ends as by kill -9, and its key runs out. */
    async die(): Promise<void> {
      redis.disconnect();
      const other = new Redis({ port, host: '127.0.0.1' });
      await other.del(`{longshore}:fleet:run:${run}`);
      other.disconnect();
      void claims[Symbol.asyncDispose]();
    },
  };
}

type TestWorker = Awaited<ReturnType<typeof openWorker>>;

function openWorkers<const N extends readonly string[]>(t: ExecutionContext, names: N, options: WorkerOptions = {}) {
  const batch = newBatch();
  const workers = names.map((name) => openWorker(batch, name, options));
  t.teardown(async () => {
    for (const worker of workers) await worker.close();
  });
  return { batch, workers: workers as unknown as { readonly [K in keyof N]: TestWorker } };
}

const aWhile = () => sleep(150); // everybody has looked again

own(
  'an image waits for the blobs of one before it until that is delivered, and knows where they are then',
  async (t) => {
    const {
      workers: [a, b],
    } = openWorkers(t, ['a', 'b']);
    const first = await a.begin(['base', 'one'], 'team/app');
    const second = await b.begin(['base', 'two']);
    t.deepEqual([[...first.may], [...second.may]], [['base', 'one'], ['two']]);
    await aWhile();
    t.deepEqual([...second.may], ['two']);
    await first.end(true);
    await second.all;
    const place = { worker: 'a', host: 'registry.example', repository: 'team/app', isPushed: false };
    t.deepEqual([b.placeOf(blob('base').digest), b.placeOf(blob('two').digest)], [place, undefined]);
    const third = await a.begin(['base']);
    t.deepEqual([...third.may], ['base'], 'nobody waits for what is there');
  },
);

own(
  'blobs of an image that is given up, or whose worker is lost, go to the first who waits, and to nobody else',
  async (t) => {
    for (const how of ['given up', 'lost'] as const) {
      const {
        workers: [a, b, c, d],
      } = openWorkers(t, ['a', 'b', 'c', 'd']);
      const first = await a.begin(['base', 'other']);
      const [second, third] = [await b.begin(['base']), await c.begin(['base'])];
      await aWhile();
      t.deepEqual([second.may.size, third.may.size], [0, 0]);
      if (how === 'lost') await a.die();
      else await first.end(false);
      await second.all;
      const last = await d.begin(['base', 'other']);
      await until(() => last.may.size > 0);
      await aWhile();
      t.deepEqual([[...third.may], [...last.may]], [[], ['other']]);
      await second.end(true);
      await Promise.all([third.all, last.all]);
    }
  },
);

own('who waits has what is free before those who came later, so that nobody waits in a circle', async (t) => {
  const {
    workers: [a, b, c],
  } = openWorkers(t, ['a', 'b', 'c']);
  await a.begin(['x']);
  const second = await b.begin(['y', 'x']);
  const third = await c.begin(['x', 'y']);
  await a.die();
  await second.all;
  await aWhile();
  t.is(third.may.size, 0);
  await second.end(true);
  await third.all;
});

own('an image that needs more later does not wait for one that came after it', async (t) => {
  const {
    workers: [a, b],
  } = openWorkers(t, ['a', 'b']);
  const image = openClaimsOf(a);
  await image(['x']);
  const second = await b.begin(['y', 'x']);
  await image(['y']);
  t.deepEqual([...second.may], ['y']);
});

function openClaimsOf(worker: TestWorker) {
  const image = worker.image();
  return async (names: readonly string[]) => {
    const about = { key: '', reference: { host: 'registry.example', repository: 'app' } };
    const blobs = await image.sharing.begin(about, names.map(blob), signal);
    await Promise.all(names.map((name) => blobs.mayAsk(blob(name).digest, signal)));
  };
}

own('images of one worker do not wait for each other, and have what one of them gives up before others', async (t) => {
  const {
    workers: [a, b],
  } = openWorkers(t, ['a', 'b']);
  const [first, second] = [await a.begin(['base']), await a.begin(['base'])];
  t.deepEqual([...second.may], ['base']);
  const third = await b.begin(['base']);
  await first.end(false);
  await aWhile();
  t.is(third.may.size, 0);
  await second.end(true);
  await third.all;
});

own('a worker that others cannot take from claims nothing, and waits for those who can be taken from', async (t) => {
  const {
    workers: [silent],
    batch,
  } = openWorkers(t, ['silent'], { reach: undefined });
  const served = openWorker(batch, 'served');
  t.teardown(served.close);
  const alone = await silent.begin(['base']);
  t.deepEqual([...alone.may], ['base']);
  const first = await served.begin(['base', 'other']);
  t.deepEqual([...first.may], ['base', 'other']);
  const waiting = await silent.begin(['other']);
  await alone.end(true);
  await aWhile();
  t.is(waiting.may.size, 0);
  await first.end(false);
  await waiting.all;
});

own('what only a lost worker had is free again, but not what was pushed', async (t) => {
  for (const reach of ['served', 'pushed'] as const) {
    const {
      workers: [a, b, c],
    } = openWorkers(t, ['a', 'b', 'c'], { reach });
    await (await a.begin(['base'])).end(true);
    await a.die();
    await b.begin(['other', 'base']); // it sees that the worker is missed
    const third = await c.begin(['base']);
    t.is(third.may.size, 1);
    const isThere = c.placeOf(blob('base').digest)?.worker === 'a';
    t.is(isThere, reach === 'pushed');
    t.is((await b.begin(['base'])).may.size, reach === 'pushed' ? 1 : 0, 'one brings it');
  }
});

own('a worker that is missed for a short time only loses nothing', async (t) => {
  const patient = { timing: { ...timing, missedMs: 600_000 } };
  const {
    workers: [a, b],
  } = openWorkers(t, ['a', 'b'], patient);
  await a.begin(['base']);
  await a.die();
  const second = await b.begin(['base']);
  await aWhile();
  t.is(second.may.size, 0);
});

own('a worker that nothing moves in leaves its blobs to others, but not while it waits for one itself', async (t) => {
  let [nowMs, movedMs] = [1_000_000, 1_000_000];
  const clock = { nowMs: () => nowMs, movedAtMs: () => movedMs, timing: { ...timing, renewMs: 20 } };
  const {
    workers: [a, b],
    batch,
  } = openWorkers(t, ['a', 'b']);
  const stuck = openWorker(batch, 'stuck', clock);
  t.teardown(stuck.close);
  const before = await a.begin(['early']);
  const first = await stuck.begin(['base']);
  const waiting = await stuck.begin(['mine', 'early']);
  const [second, third] = [await b.begin(['base']), await b.begin(['mine'])];
  movedMs = nowMs += 31_000;
  await aWhile();
  t.deepEqual([second.may.size, third.may.size], [0, 0], 'something has just moved');
  nowMs += 31_000;
  await second.all;
  t.is(third.may.size, 0);
  await first.end(true);
  await before.end(true);
  await waiting.all;
  await waiting.end(true);
  await third.all;
});

test('news are enough: nobody has to look by himself', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  const {
    workers: [a, b],
  } = openWorkers(t, ['a', 'b'], { port: redis.port, timing: { ...timing, pollMs: 600_000 } });
  const first = await a.begin(['base']);
  const second = await b.begin(['base']);
  await until(async () => (await a.redis.pubsub('NUMSUB', '{longshore}:fleet:claims-news'))[1] === 1);
  await first.end(true);
  await second.all;
  t.pass();
});

own('what others have written to Redis stops nobody', async (t) => {
  const {
    workers: [a],
    batch,
  } = openWorkers(t, ['a']);
  const key = `{longshore}:fleet:claims:${batch.id}`;
  const lies = ['', 'h', 'd', 'd7', 'x/y/z', 'h1//', `h1/nobody/1`, 'p/../..', 'd8', 'd9'];
  await a.redis.hset(key, Object.fromEntries(lies.map((lie, at) => [blob(`${at}`).digest.slice(7), lie])));
  await a.redis.hset(`${key}:places`, { 8: 'p/x/worker/registry.example/../etc', 9: 'p/x/worker/not a name' });
  const image = await a.begin(lies.map((_, at) => `${at}`));
  await image.all;
  t.false(lies.some((_, at) => a.placeOf(blob(`${at}`).digest)));
  await image.end(true);
  const {
    workers: [b],
    batch: spoiled,
  } = openWorkers(t, ['b']);
  await b.redis.set(`{longshore}:fleet:claims:${spoiled.id}`, 'a text');
  const other = await b.begin(['base']);
  await other.all;
  await other.end(true);
});

own('all that a batch has in Redis expires, and goes at once when it has ended', async (t) => {
  const {
    workers: [a, b],
    batch,
  } = openWorkers(t, ['a', 'b'], { timing: { ...timing, pollMs: 600_000 } }); // who looks again claims again
  await (await a.begin(['base', 'other'])).end(true);
  await a.begin(['more']);
  await b.begin(['more']);
  const found = await a.redis.keys(`{longshore}:fleet:claims:${batch.id}*`);
  t.is(found.length, 4);
  for (const key of found) {
    const left = await a.redis.pttl(key);
    t.true(left > 3_000_000 && left < 3_700_000, key);
  }
  await a.remove();
  t.deepEqual((await a.redis.keys(`{longshore}:fleet:claims:${batch.id}*`)).length, 1, 'who waits');
});

test('claims outlive a Redis that is killed and comes back, and what was not delivered is waited for', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  await redis.ask('CONFIG', 'SET', 'appendfsync', 'always'); // what was claimed is on the disk
  const batch = newBatch();
  const patient = { port: redis.port, timing: { ...timing, lifeMs: 60_000, renewMs: 100, missedMs: 5_000 } };
  const [a, b] = [openWorker(batch, 'a', patient), openWorker(batch, 'b', patient)];
  t.teardown(async () => Promise.all([a.close(), b.close()]));
  const first = await a.begin(['base']);
  const second = await b.begin(['base']);
  await redis.kill();
  const ended = first.end(true);
  await redis.start();
  await Promise.all([ended, second.all]);
  t.is(b.placeOf(blob('base').digest)?.worker, 'a');
});

const images = fc.array(fc.uniqueArray(fc.integer({ min: 0, max: 7 }), { minLength: 1, maxLength: 5 }), {
  minLength: 3,
  maxLength: 12,
});
/** After how many steps the worker is lost, if it is. */
const deaths = fc.array(fc.option(fc.integer({ min: 0, max: 12 }), { nil: undefined }), { minLength: 2, maxLength: 4 });

own(
  'every image ends, whichever workers are lost, and a blob is asked for again only when who had it was lost',
  async (t) => {
    await fc.assert(
      fc.asyncProperty(
        images,
        deaths,
        fc.infiniteStream(fc.integer({ min: 0, max: 4 })),
        async (wanted, dies, pauses) => {
          const batch = newBatch();
          const asked = new Map<string, number>();
          const lostWith = new Map<string, number>();
          const left = wanted.map((names) => names.map(String));
          const pause = () => sleep(pauses.next().value as number);
          let missing = left.length;

          const work = async (name: string, diesAfter: number | undefined): Promise<void> => {
            const worker = openWorker(batch, name, { timing: { ...timing, pollMs: 10 } });
            const had = new Set<string>();
            let steps = 0;
            const isDead = () => diesAfter !== undefined && steps >= diesAfter;
            const slots = [1, 2].map(async () => {
              for (;;) {
                const names = left.shift();
                if (!names) {
                  if (missing === 0) return;
                  await sleep(2);
                  if (isDead()) return;
                  continue;
                }
                const image = worker.image();
                const about = { key: '', reference: { host: 'registry.example', repository: 'app' } };
                const blobs = await image.sharing.begin(about, names.map(blob), signal);
                const bring = async (one: string): Promise<void> => {
                  await blobs.mayAsk(blob(one).digest, signal);
                  if (isDead() || had.has(one)) return;
                  had.add(one);
                  if (!worker.placeOf(blob(one).digest)) asked.set(one, (asked.get(one) ?? 0) + 1);
                  await pause();
                  steps += 1;
                };
                let isOver = false;
                const death = (async () => {
                  while (!isDead() && !isOver) await sleep(1);
                })();
                const all = Promise.all(names.map(bring));
                await (diesAfter === undefined ? all : Promise.race([all, death]));
                isOver = true;
                if (isDead()) {
                  left.push(names); // the queue gives it to another worker
                  return;
                }
                await image.end(true);
                missing -= 1;
              }
            });
            await Promise.all(slots);
            if (!isDead()) return worker.close();
            for (const one of had) lostWith.set(one, (lostWith.get(one) ?? 0) + 1);
            await worker.die();
          };
          // the last one is never lost
          await Promise.all([...dies.entries()].map(([at, after]) => work(`w${at}`, at === 0 ? undefined : after)));
          for (const [one, times] of asked) t.true(times <= 1 + (lostWith.get(one) ?? 0), `${one}: ${times}`);
          t.is(missing, 0);
        },
      ),
      { numRuns: 25 },
    );
  },
);
