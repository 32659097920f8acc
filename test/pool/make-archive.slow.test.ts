import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';

import test, { type ExecutionContext } from 'ava';

import { parseDigest } from '../../src/image/digest.ts';
import { defaultLimits } from '../../src/image/limits.ts';
import { openUnpacker } from '../../src/pool/make-archive.ts';
import type { Pool } from '../../src/pool/pool.ts';
import type { UnpackLayerRequest } from '../../workers/convert/requests.ts';
import { someBytes } from '../helpers/archive.ts';
import { describe } from '../helpers/registry.ts';
import { layerOf } from '../helpers/registry-fetching.ts';
import { putBytes } from '../helpers/registry-image.ts';
import { storeContext } from '../helpers/store-context.ts';
import { until } from '../helpers/until.ts';

const never = new AbortController().signal;

/** A layer that has come, packed and as it is, and an unpacker. */
async function opened(t: ExecutionContext, bytes: number, unpacked = defaultLimits.unpacked) {
  const { store, pool } = await storeContext(t);
  const tar = await layerOf({ file: Buffer.alloc(bytes, someBytes(Math.min(bytes, 1_000_000), 1)) });
  const [packed, plain] = [await putBytes(store, gzipSync(tar, { level: 1 })), await putBytes(store, tar)];
  const work: Promise<unknown>[] = [];
  const asked: UnpackLayerRequest[] = [];
  const telling: Pool = {
    ...pool,
    run(...task) {
      if (isUnpacking(task[1])) asked.push(task[1]);
      const done = pool.run(...task);
      work.push(done);
      return done;
    },
  };
  const unpacker = openUnpacker({ store, pool: telling, limits: { ...defaultLimits, unpacked } });
  const leftovers = async () =>
    (await readdir(join(store.dir, 'tmp'), { recursive: true })).filter((path) => /\/\d+$/.test(path));
  return { store, tar, packed, plain, unpacker, work, asked, leftovers };
}

test('a compressed layer is unpacked to a temporary file, an uncompressed one is used itself', async (t) => {
  const { store, tar, packed, plain, unpacker, leftovers } = await opened(t, 3_000_000);
  await Promise.all([
    unpacker.unpack({ position: 1, digest: packed, diffId: plain }, never),
    unpacker.unpack({ position: 0, digest: plain, diffId: plain }, never),
  ]);
  const [first = '', second = ''] = unpacker.tars;
  t.is(first, store.digestPath(plain));
  t.true((await readFile(second)).equals(tar));
  await unpacker[Symbol.asyncDispose]();
  t.deepEqual(await leftovers(), []);
  t.true(existsSync(first), 'the blob stays');
});

test('a layer with another diff ID leaves no file', async (t) => {
  const { packed, unpacker, leftovers } = await opened(t, 1000);
  const diffId = parseDigest(describe('another', '').digest);
  await t.throwsAsync(unpacker.unpack({ position: 0, digest: packed, diffId }, never), { code: 'DIGEST_MISMATCH' });
  t.deepEqual(await leftovers(), []);
});

test('the limit is for all layers together', async (t) => {
  const { packed, plain, tar, unpacker } = await opened(t, 100_000, 150_000);
  await unpacker.unpack({ position: 0, digest: packed, diffId: plain }, never);
  const error = await t.throwsAsync(unpacker.unpack({ position: 1, digest: packed, diffId: plain }, never));
  t.like(error, { code: 'LIMIT_EXCEEDED', details: { limit: 'unpacked', maximum: 150_000 } });
  t.true(tar.length < 150_000);
});

test('layers that are unpacked at the same time stop at the common limit', async (t) => {
  const { unpacker, packed, plain, asked } = await opened(t, 40_000_000, 50_000_000);
  const layers = [0, 1, 2, 3].map((position) => unpacker.unpack({ position, digest: packed, diffId: plain }, never));
  const results = await Promise.allSettled(layers);
  t.true(results.filter(({ status }) => status === 'rejected').length >= 3);
  const unpacked = Number(new BigUint64Array(asked[0]?.unpacked ?? new ArrayBuffer(8))[0]);
  t.true(unpacked > 50_000_000 && unpacked < 52_000_000, `${unpacked}`);
});

for (const when of ['before', 'after'] as const) {
  test(`who no longer waits is let go at once, and nothing is left: ${when} the file is there`, async (t) => {
    const { work, packed, plain, unpacker, leftovers } = await opened(t, 60_000_000);
    const stop = new AbortController();
    const unpacking = unpacker.unpack({ position: 0, digest: packed, diffId: plain }, stop.signal);
    await turn();
    if (when === 'after') await until(async () => (await leftovers()).length > 0);
    stop.abort(new Error('enough'));
    await t.throwsAsync(unpacking, { message: 'enough' });
    await unpacker[Symbol.asyncDispose]();
    t.is(work.length, 1);
    await t.notThrowsAsync(work[0] ?? Promise.reject(new Error('none')), 'it cannot be told to stop');
    await until(async () => (await leftovers()).length === 0);
  });
}

function isUnpacking(request: object): request is UnpackLayerRequest {
  return 'unpacked' in request;
}
