import { chmod, stat, utimes, writeFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';

import test from 'ava';

import { openBlob } from '../../src/push/blob-source.ts';
import { stampOf } from '../../src/system/files.ts';
import type { TargetOptions } from '../helpers/push-target.ts';
import { answered, chunkBytes, content, openUpload, signal, size } from '../helpers/upload.ts';

/** Changes one byte of a blob, and the time of its file back to what it was. @returns the path */
async function damage({ store, digest }: Awaited<ReturnType<typeof openUpload>>): Promise<string> {
  const path = store.digestPath(digest);
  const { atime, mtime } = await stat(path);
  await chmod(path, 0o600);
  const bad = Buffer.from(content);
  bad[10] = (bad[10] ?? 0) ^ 1;
  await writeFile(path, bad);
  await utimes(path, atime, mtime);
  return path;
}

test('an upload of a damaged blob is not completed, in chunks or in one piece', async (t) => {
  for (const asked of [{}, { chunkBytes }]) {
    const upload = await openUpload(t);
    const path = await damage(upload);
    t.like(await t.throwsAsync(upload.upload(asked)), { code: 'STORE_CORRUPT', details: { path } });
    t.is(upload.target.blobs.size, 0);
    const received = [...upload.target.uploads.values()].map(({ length }) => length);
    t.true(received.every((bytes) => bytes < size));
  }
});

test('a blob that is as the store took it is hashed only once the registry has found something else in it', async (t) => {
  const other = `sha256:${'0'.repeat(64)}`;
  const namesOther: TargetOptions = {
    intercept: async ({ method, request, response }) =>
      method === 'PUT' && (await buffer(request), answered(response, 201, { 'docker-content-digest': other })),
  };
  const good = await openUpload(t);
  await good.upload();
  t.deepEqual([good.stored(), good.hashed()], [true, 0]);
  for (const [options, asked] of [
    [{}, {}],
    [{}, { chunkBytes }],
    [namesOther, {}],
  ] as const) {
    const upload = await openUpload(t, options);
    const path = await damage(upload);
    await upload.store.confirmDigest(upload.digest, stampOf(await stat(path, { bigint: true }))); // as bytes that decay on a disk
    t.like(await t.throwsAsync(upload.upload(asked)), { code: 'STORE_CORRUPT', details: { path } });
    t.deepEqual([upload.target.blobs.size, upload.hashed()], [0, 1]);
  }
});

test('what a socket may still hold of a blob is not overwritten by the next one', async (t) => {
  const bytes = Buffer.alloc(3 * 2 ** 20 + 50_000, content);
  const { context, digest } = await openUpload(t, {}, 0, bytes);
  await using source = await openBlob(context, { digest, size: bytes.length }, () => undefined, signal);
  const chunks = await Array.fromAsync(source.body(0, bytes.length).open());
  const last = chunks.at(-1) ?? t.fail();
  t.is(last.byteLength, 50_000);
  await Array.fromAsync(source.body(1, bytes.length).open());
  t.true(bytes.subarray(-50_000).equals(last));
});
