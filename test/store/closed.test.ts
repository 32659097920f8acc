import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Worker } from 'node:worker_threads';

import test, { type ExecutionContext } from 'ava';

import { hasCode, isImageError } from '../../src/errors.ts';
import { openStore } from '../../src/store/open-store.ts';
import type { Store } from '../../src/store/store.ts';
import { putImage, temporaryDirectory } from '../helpers/stored.ts';
import { until } from '../helpers/until.ts';

async function openTestStore(t: ExecutionContext, writesLittle = false): Promise<Store> {
  const store = await openStore({ dir: join(await temporaryDirectory(t), 'store'), writesLittle });
  t.teardown(() => store.close());
  return store;
}

const about = { mediaType: 'application/json', digest: `sha256:${'0'.repeat(64)}`, size: 1 } as const;

/** Everything that may be asked of a store, by the name of its member. */
function everyCall(store: Store, imageId: Awaited<ReturnType<typeof putImage>>['imageId']) {
  const signal = new AbortController().signal;
  const stamp = { mtimeNs: 0n, ctimeNs: 0n, inode: 0n };
  const digest = about.digest as Parameters<Store['hasBlob']>[0];
  const image = { imageId, name: 'a', labels: new Map(), size: 1, latest: false, source: 'a', digest } as const;
  const commit = { stamp, manifest: '', image: { ...image, verified: false, weak: false, dependencies: [] } } as const;
  const descriptor = { ...about, digest };
  const pulled = {
    reference: 'h/a:1',
    manifest: descriptor,
    platform: { os: 'linux', architecture: 'amd64' },
  } as const;
  const record = { imageId, maxAgeMs: 0, checkedAtMs: 0 };
  const registryCommit = { ...pulled, blobs: [], latest: false, source: 'a', verified: false, weak: false } as const;
  const calls: Record<
    Exclude<keyof Store, 'dir' | 'readOnly' | 'closed' | 'blobPath' | 'digestPath' | 'close' | symbol>,
    () => unknown
  > = {
    resolveId: () => store.resolveId(imageId),
    getImage: () => store.getImage(imageId),
    proofsOf: () => store.proofsOf(imageId),
    archiveOf: () => store.archiveOf(imageId),
    relistArchive: () => store.relistArchive(imageId, { ...descriptor, compression: 'none', stamp }),
    findImage: () => store.findImage('a', new Map()),
    findIntactAtOnce: () => store.findIntactAtOnce('a', new Map()),
    imagesNamed: () => store.imagesNamed('a'),
    images: () => Array.fromAsync(store.images()),
    manifest: () => store.manifest(imageId),
    checkIndex: () => store.checkIndex(),
    getRemote: () => store.getRemote('http://a'),
    putRemote: () => store.putRemote('http://a', record),
    hostLevels: () => store.hostLevels(),
    putHostLevels: () => store.putHostLevels(new Map([['a:1', { level: 1, ceiling: undefined }]])),
    getAnswer: () => store.getAnswer('a'),
    putAnswer: () => store.putAnswer('a', { value: 'a', answeredAtMs: 0 }),
    salt: () => store.salt(),
    blobState: () => store.blobState(imageId),
    confirmBlob: () => store.confirmBlob(imageId, stamp),
    touch: () => store.touch(imageId),
    temporaryPath: () => store.temporaryPath(),
    commit: () => store.commit({ path: 'a', ...commit }),
    relist: () => store.relist(commit),
    endRelisting: () => store.endRelisting(),
    remove: () => store.remove(imageId),
    collect: () => store.collect({ nowMs: 0, partialsOlderThanMs: 0 }),
    unreferenced: () => Array.fromAsync(store.unreferenced()),
    claim: () => store.claim('a', signal),
    tryClaim: () => store.tryClaim('a'),
    openPartial: () => store.openPartial('a'),
    peekPartial: () => store.peekPartial('a'),
    reserve: () => store.reserve(new Map()),
    freeBytes: () => store.freeBytes(),
    hasBlob: () => store.hasBlob(digest),
    commitBlob: () => store.commitBlob({ path: 'a', stamp, digest, size: 1 }),
    digestState: () => store.digestState(digest),
    confirmDigest: () => store.confirmDigest(digest, stamp),
    dropBlob: () => store.dropBlob(digest),
    discardBlobs: () => store.discardBlobs([digest]),
    blobRows: () => Array.fromAsync(store.blobRows()),
    commitRegistryImage: () => store.commitRegistryImage(registryCommit),
    findRegistryImage: () => store.findRegistryImage('a'),
    registryImages: () => Array.fromAsync(store.registryImages()),
    resolveDigest: () => store.resolveDigest(digest),
    registryImagesOf: () => store.registryImagesOf(digest),
    tagsOf: () => store.tagsOf('h/a', { limit: 1 }),
    repositories: () => store.repositories({ limit: 1 }),
    hostsOf: () => store.hostsOf('a'),
    imagesNeeding: () => store.imagesNeeding(digest, 'h/a'),
    sizeIn: () => store.sizeIn(digest, 'h/a'),
    touchRegistryImage: () => store.touchRegistryImage('a'),
    removeRegistryImage: () => store.removeRegistryImage('h/a:1'),
    ociIndex: () => store.ociIndex(),
    salvagedEntries: () => store.salvagedEntries(),
    unlistedBlobs: () => Array.fromAsync(store.unlistedBlobs()),
    relistBlob: () => store.relistBlob({ digest, size: 1, stamp }),
    writeOciIndex: () => store.writeOciIndex(),
  };
  return calls;
}

for (const mode of ['written', 'written without a thread', 'read only', 'empty'] as const) {
  test(`everything that is asked of a closed store is CLOSED: ${mode}`, async (t) => {
    const first = await openTestStore(t, mode === 'written without a thread');
    const { imageId } = await putImage(first, { name: 'example.com/a' });
    const dir = mode === 'empty' ? join(await temporaryDirectory(t), 'none') : first.dir;
    const store = mode.startsWith('written') ? first : await openStore({ dir, readOnly: true });
    await store.close();
    await store.close();
    for (const [name, call] of Object.entries(everyCall(store, imageId))) {
      const error = await t.throwsAsync(Promise.try(call), { code: 'CLOSED' }, name);
      t.true(hasCode(error, 'CLOSED') && error.details.what === 'store', name);
    }
  });
}

test('what iterates over a store does not end as if there were no more when it is closed', async (t) => {
  const store = await openTestStore(t);
  for (const name of ['example.com/a', 'example.com/b', 'example.com/c']) await putImage(store, { name });
  const iterating = store.images()[Symbol.asyncIterator]();
  t.false((await iterating.next()).done);
  const closing = store.close();
  await t.throwsAsync(iterating.next(), { code: 'CLOSED' });
  await closing;
  t.true((await iterating.next()).done);
});

for (const writesLittle of [false, true]) {
  test(`who waits for a claim stops waiting when the store is closed, written ${writesLittle ? 'without' : 'by'} a thread`, async (t) => {
    const store = await openTestStore(t, writesLittle);
    await store.claim('a', new AbortController().signal);
    const waiting = t.throwsAsync(store.claim('a', new AbortController().signal), { code: 'CLOSED' });
    const other = await openStore({ dir: store.dir, writesLittle });
    const elsewhere = t.throwsAsync(other.claim('a', new AbortController().signal), { code: 'CLOSED' });
    await sleep(50);
    await Promise.all([other.close(), elsewhere]);
    await Promise.all([store.close(), waiting]);
  });
}

test('a download that is open when its store is closed is changed no more, and can be closed', async (t) => {
  const store = await openTestStore(t);
  await store.claim('http://a', new AbortController().signal);
  const partial = await store.openPartial('http://a');
  await partial.restart({ validator: { kind: 'etag', value: '"1"' }, total: 10 });
  await partial.append([Buffer.from('12345')]);
  await store.close();
  await t.throwsAsync(partial.append([Buffer.from('678')]), { code: 'CLOSED' });
  await t.throwsAsync(partial.sync(), { code: 'CLOSED' });
  await partial.close();
  await t.throwsAsync(partial.discard(), { code: 'CLOSED' });
  await using again = await openStore({ dir: store.dir });
  t.is((await again.peekPartial('http://a'))?.bytes, 5);
});

test.serial(
  'when the index thread dies, what waits and all that is asked later fails; a store opened anew works',
  async (t) => {
    const threads: Worker[] = [];
    const onWorker = (worker: Worker): void => void (worker.threadName === 'index' && threads.push(worker));
    process.on('worker', onWorker);
    t.teardown(() => void process.off('worker', onWorker));
    const store = await openTestStore(t);
    const { imageId } = await putImage(store, { name: 'example.com/a' });
    const held = await store.claim('a', new AbortController().signal);
    const other = await openStore({ dir: store.dir });
    t.teardown(() => other.close());
    const collecting = store.collect({ nowMs: Date.now(), partialsOlderThanMs: 0 });
    const [thread] = threads;
    t.truthy(thread);
    void thread?.terminate();
    const failed = await collecting.catch((error: unknown) => error); // it may just have come to its end
    if (failed instanceof Error) t.true(hasCode(failed, 'INTERNAL'), failed.message);
    await until(() =>
      store.tryClaim('b').then(
        async (claim) => (await claim?.release(), false),
        () => true,
      ),
    );
    const write = store.putRemote('http://a', { imageId, maxAgeMs: 0, checkedAtMs: 0 });
    const error = await t.throwsAsync(write, { code: 'INTERNAL', message: /index.*died/ });
    t.true(isImageError(error));
    t.is((await store.getImage(imageId))?.name, 'example.com/a');
    const claim = await other.claim('a', AbortSignal.timeout(60_000));
    await claim.release();
    await held.release();
    await store.close();
    await t.throwsAsync(store.putRemote('http://a', { imageId, maxAgeMs: 0, checkedAtMs: 0 }), { code: 'CLOSED' });
    await using again = await openStore({ dir: store.dir });
    await putImage(again, { name: 'example.com/b' });
    t.is((await Array.fromAsync(again.images())).length, 2);
  },
);
