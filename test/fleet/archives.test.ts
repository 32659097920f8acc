import { randomBytes, randomUUID } from 'node:crypto';

import test, { type ExecutionContext } from 'ava';
import { Redis } from 'ioredis';

import { openArchives } from '../../src/fleet/archives.ts';
import { openClaims } from '../../src/fleet/blob-claims.ts';
import type { Digest } from '../../src/image/digest.ts';
import type { ImageId } from '../../src/image/image-id.ts';
import { acceptedKey, newSigningKey, type SigningKey } from '../../src/image/sigstore/dsse.ts';
import { openRedis } from '../helpers/redis.ts';

const shared = await openRedis();
test.after.always(async () => shared?.[Symbol.asyncDispose]());
const own = shared ? test : test.skip;

const named = newSigningKey();
const url = 'https://example.com/app.aci';
const image = {
  imageID: `sha512-${'a'.repeat(128)}` as ImageId,
  digest: `sha256:${'b'.repeat(64)}` as Digest,
  signedBy: ['c'.repeat(40)],
};
const { signal } = new AbortController();

/** A worker that believes those who sign with the named key. */
function openWorker(t: ExecutionContext, worker: string, batch = newBatch(), key: SigningKey = named) {
  const redis = new Redis({ port: shared?.port ?? 0, host: '127.0.0.1' });
  const timing = { lifeMs: 600_000, renewMs: 600_000, missedMs: 0, pollMs: 20, stuckMs: 30_000 };
  const claims = openClaims({ redis, worker, run: randomUUID(), nowMs: Date.now, timing });
  t.teardown(async () => {
    await claims[Symbol.asyncDispose]();
    redis.disconnect();
  });
  const archives = openArchives({ redis, worker, key, keys: acceptedKey(named), nowMs: Date.now });
  return { ...archives, redis, batch, image: claims.of(batch, 'served').image };
}

const newBatch = () => ({ id: randomBytes(16).toString('hex'), expiresAtMs: Date.now() + 60_000 });

own('what a URL gave is believed of a named worker, in its own place, and not of a URL with a query', async (t) => {
  const one = openWorker(t, 'one');
  const { batch } = one;
  const two = openWorker(t, 'two', batch);
  t.is(await two.at(batch, url), undefined);
  t.true(await one.note(batch, url, image));
  t.deepEqual(await two.at(batch, url), { id: batch.id, worker: 'one', url, image });
  t.is(await one.at(batch, url), undefined, 'it knows that itself');
  t.is(await two.at(batch, `${url}2`), undefined);

  const place = `{longshore}:fleet:archives:${batch.id}`;
  const [[field, envelope] = ['', '']] = Object.entries(await one.redis.hgetall(place));
  const other = newBatch();
  await one.redis.hset(`{longshore}:fleet:archives:${other.id}`, field, envelope);
  t.is(await two.at(other, url), undefined, 'of another batch');
  t.false(await one.note(batch, `${url}?token=secret`, image));
  t.is(await one.redis.hlen(place), 1);
  t.true((await one.redis.pttl(place)) > 0);

  const stranger = openWorker(t, 'three', batch, newSigningKey());
  t.true(await stranger.note(batch, url, { ...image, digest: `sha256:${'d'.repeat(64)}` as Digest }));
  t.is(await two.at(batch, url), undefined);
  await one.redis.hset(place, field, 'x'.repeat(1_000_000));
  t.is(await two.at(batch, url), undefined);
  await one.remove(batch);
  t.is(await one.redis.exists(place), 0);
});

own(
  'who brings an archive is waited for until it has it, in whatever order images began, and then it is given',
  async (t) => {
    const one = openWorker(t, 'one');
    const two = openWorker(t, 'two', one.batch);
    const [first, second] = [one.image(), two.image()];
    const [early, late] = [await first.beginArchive('early', signal), await second.beginArchive('late', signal)];
    // each of them needs what the other one brings
    const order: string[] = [];
    const waiting = [first.beginArchive('late', signal), second.beginArchive('early', signal)].map(
      async (claim, at) => {
        const { isGiven } = await claim;
        order.push(`${at}: ${isGiven}`);
      },
    );
    await new Promise(setImmediate);
    t.deepEqual(order, []);
    await late.end(true);
    await waiting[0];
    t.deepEqual(order, ['0: true']);
    await early.end(true);
    await waiting[1];
    t.deepEqual(order, ['0: true', '1: true']);
    await Promise.all([first.end(false), second.end(false)]);
    t.true((await two.image().beginArchive('early', signal)).isGiven, 'also if its image was given up');
    t.deepEqual(await one.redis.hkeys(`{longshore}:fleet:claims:${one.batch.id}:jobs`).then((all) => all.length), 2);
  },
);

own(
  'an archive that was given up is brought by the first who waits, and stays with it when that image ends',
  async (t) => {
    const one = openWorker(t, 'one');
    const two = openWorker(t, 'two', one.batch);
    const first = one.image();
    const given = await first.beginArchive('app', signal);
    const second = two.image();
    const waiting = second.beginArchive('app', signal);
    await given.end(false);
    t.false((await waiting).isGiven);
    await first.end(true);
    const third = one.image();
    const again = third.beginArchive('app', signal);
    await Promise.race([again, new Promise(setImmediate)]);
    await (await waiting).end(true);
    t.true((await again).isGiven);
    const lost = await third.beginArchive('lost', signal);
    const fourth = two.image().beginArchive('lost', signal);
    await third.end(true);
    t.false((await fourth).isGiven, 'an image ends with what it still had');
    await lost.end(true);
  },
);
