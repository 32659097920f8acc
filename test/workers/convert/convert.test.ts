import { existsSync } from 'node:fs';
import { readdir, readFile, readlink, stat, truncate, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { constants, gzipSync, zstdCompressSync } from 'node:zlib';

import test from 'ava';

import { type ErrorCode, hasCode } from '../../../src/errors.ts';
import { openPool } from '../../../src/pool/pool.ts';
import type { ConvertLimits, ConvertRequest, UnpackLayerRequest } from '../../../workers/convert/requests.ts';
import { ingest } from '../../../workers/ingest/ingest.ts';
import { buildTar, imageIdOf, someBytes } from '../../helpers/archive.ts';
import { tarEnd } from '../../helpers/tar-forge.ts';
import { requestFor as ingestRequest } from '../ingest-request.ts';
import {
  type BlobsRequest,
  convertBlobs,
  convertLayers,
  convertLimits,
  type LayerBytes,
  layerOf,
  pack,
  requestFor,
  sha256,
} from './layers.ts';
import { formatTree, listImage } from './listing.ts';

const bigTar = () => buildTar([{ name: 'big', content: someBytes(3_000_000, 1) }]);
const skippable = Buffer.concat([Buffer.from('502a4d1804000000', 'hex'), Buffer.from('meta')]);
const frames = (tar: Buffer) =>
  Buffer.concat(
    [tar.subarray(0, 700), tar.subarray(700, 701), tar.subarray(701)].flatMap((part) => [
      skippable,
      zstdCompressSync(part),
    ]),
  );

async function refuses(t: Parameters<typeof requestFor>[0], request: BlobsRequest, code: ErrorCode): Promise<unknown> {
  const error = await t.throwsAsync(convertBlobs(request));
  t.true(hasCode(error, code), `${code}: ${String(error)}`);
  t.false(existsSync(request.image), 'nothing is left');
  return hasCode(error, code) ? error.details : undefined;
}

test('gzip, zstd, chunked zstd and uncompressed layers give the same image', async (t) => {
  const tar = await bigTar();
  const ways = [gzipSync, (bytes: Buffer) => zstdCompressSync(bytes), frames, (bytes: Buffer) => bytes];
  const ids = new Set<string>();
  for (const compress of ways) {
    const converted = await convertLayers(t, [pack(tar, compress)]);
    ids.add(converted.imageId);
    t.is(listImage(converted.tar).at(-1)?.content, someBytes(3_000_000, 1).toString('latin1'));
  }
  t.is(ids.size, 1);
});

test('the image is complete, synced, read-only, named by its hash, and passes the checks of every image', async (t) => {
  const layers = [await layerOf('a=A d/ d/b=B'), pack(await bigTar())];
  const request = await requestFor(t, layers);
  const response = await convertBlobs(request);
  const tar = await readFile(request.image);
  t.is(response.imageId, imageIdOf(tar));
  t.is(response.size, tar.length);
  t.is((await stat(request.image)).mode & 0o777, 0o444);
  t.deepEqual((await readdir(dirname(request.image))).sort(), ['blob-0', 'blob-1', 'image']);
  const ingested = await ingest(await ingestRequest(t, { kind: 'file', path: request.image }));
  t.is(ingested.imageId, response.imageId);
  t.is(ingested.manifest, response.manifest);
  t.deepEqual(ingested.parsed, response.parsed);
  t.is(listImage(tar)[0]?.path, 'manifest');
});

test('the same layers give the same image in every thread and directory', async (t) => {
  const layers = await Promise.all(['a=A b->a', 'c=C !a', 'd/ d/e=E'].map(layerOf));
  await using pool = openPool({ workers: 2, sessionsPerWorker: 2 });
  const inPool = {
    unpackLayer: (request: UnpackLayerRequest) => pool.run('unpackLayer', request),
    convert: (request: ConvertRequest) => pool.run('convert', request),
  };
  const ids = await Promise.all(
    Array.from({ length: 4 }, async () => (await convertBlobs(await requestFor(t, layers), inPool)).imageId),
  );
  // Of this version: a change of what is written is a change for everybody who knows images by their IDs.
  const id =
    'sha512-c017a8b6fb0dbf0beeb9a817db2f71f9a4291a31f47f33528d9c7552156136a0805e406ac1d88fb37d8064f61c0509f37fd7133828f7e0286fb1e5830a04fd62';
  t.deepEqual(new Set<string>(ids), new Set([id]));
});

test('a layer of no bytes, of zeros, and of zeros compressed has no entries', async (t) => {
  const nothing = Buffer.alloc(0);
  const ways: LayerBytes[] = [
    { tar: nothing, blob: nothing },
    pack(nothing),
    pack(tarEnd),
    { tar: tarEnd, blob: tarEnd },
    pack(Buffer.alloc(10_240), (bytes) => zstdCompressSync(bytes)),
  ];
  for (const layer of ways) t.is(formatTree((await convertLayers(t, [await layerOf('a=A'), layer])).tar), 'a=A');
});

test('a layer that unpacks to something else than the config states is refused', async (t) => {
  const layer = await layerOf('a=A');
  const config = { rootfs: { type: 'layers', diff_ids: [sha256(Buffer.from('else'))] } };
  const details = await refuses(t, await requestFor(t, [layer], { about: config }), 'DIGEST_MISMATCH');
  t.deepEqual(details, { asked: sha256(Buffer.from('else')), found: sha256(layer.tar) });
});

test('a blob that does not match its digest is refused for that, whatever it contains', async (t) => {
  for (const bytes of [(await layerOf('b=B')).blob, Buffer.from('<html>login</html>')]) {
    const request = await requestFor(t, [await layerOf('a=A')]);
    await writeFile(request.blobs[0]?.path ?? '', bytes);
    const details = await refuses(t, request, 'DIGEST_MISMATCH');
    t.deepEqual(details, { asked: request.blobs[0]?.digest, found: sha256(bytes) });
  }
});

test('a file that is no layer is refused, and its format is named', async (t) => {
  const cases: readonly (readonly [Buffer, string])[] = [
    [Buffer.from('not a tar'), 'text'],
    [Buffer.from('<!doctype html><p>login</p>'), 'HTML'],
    [gzipSync('{"errors":[]}'), 'JSON, compressed'],
    [gzipSync(gzipSync(Buffer.alloc(2000))), 'gzip, compressed'],
    [Buffer.from('BZh91AY&SY'), 'bzip2'],
  ];
  for (const [blob, looksLike] of cases) {
    const request = await requestFor(t, [{ tar: blob, blob }]);
    const digest = request.blobs[0]?.digest;
    t.deepEqual(await refuses(t, request, 'ARCHIVE_UNREADABLE'), { path: digest, looksLike });
  }
});

test('a compressed layer that is truncated or followed by other bytes is refused', async (t) => {
  const tar = await bigTar();
  for (const compress of [gzipSync, (bytes: Buffer) => zstdCompressSync(bytes), frames]) {
    const good = compress(tar);
    for (const blob of [
      good.subarray(0, -1),
      good.subarray(0, good.length >> 1),
      Buffer.concat([good, good.subarray(0, 1)]),
    ]) {
      await refuses(t, await requestFor(t, [{ tar, blob }]), 'ARCHIVE_UNREADABLE');
    }
  }
});

test('a damaged layer is refused by its check value, or by the digest of its tar', async (t) => {
  const tar = await bigTar();
  const params = { [constants.ZSTD_c_checksumFlag]: 1 };
  const ways: readonly (readonly [(bytes: Buffer) => Buffer, ErrorCode])[] = [
    [(bytes) => gzipSync(bytes, { level: 0 }), 'ARCHIVE_UNREADABLE'],
    [(bytes) => zstdCompressSync(bytes, { params }), 'ARCHIVE_UNREADABLE'],
    [(bytes) => bytes, 'DIGEST_MISMATCH'],
  ];
  for (const [compress, code] of ways) {
    const blob = Buffer.from(compress(tar));
    blob.writeUInt8(blob.readUInt8(blob.length >> 1) ^ 0x10, blob.length >> 1);
    await refuses(t, await requestFor(t, [{ tar, blob }]), code);
  }
});

test('limits apply to all layers together, before more is written to the disk', async (t) => {
  const tar = await bigTar();
  const layers = [pack(tar), pack(tar, (bytes) => zstdCompressSync(bytes)), await layerOf('a=A d/e/f=F')];
  const cases: readonly (readonly [Partial<ConvertLimits>, string])[] = [
    [{ unpackedBytes: 2 * tar.length - 1 }, 'unpacked'],
    [{ manifestBytes: 50 }, 'manifest'],
    [{ entries: 7 }, 'entries'],
    [{ pathBytes: 11 }, 'path'],
  ];
  for (const [limit, name] of cases) {
    const request = await requestFor(t, layers, { limits: { ...convertLimits, ...limit } });
    const details = await refuses(t, request, 'LIMIT_EXCEEDED');
    t.deepEqual(details, { limit: name, maximum: Object.values(limit)[0] });
  }
  const exact = { ...convertLimits, entries: 8, pathBytes: 12 };
  t.is(formatTree((await convertLayers(t, layers.slice(1), { limits: exact })).tar).slice(0, 3), 'a=A');
});

test('a bomb of zeros ends at the limit', async (t) => {
  const tar = await buildTar([{ name: 'zeros', content: Buffer.alloc(64 * 1024 * 1024) }]);
  const limits = { ...convertLimits, unpackedBytes: 1024 * 1024 };
  for (const compress of [gzipSync, (bytes: Buffer) => zstdCompressSync(bytes)]) {
    await refuses(t, await requestFor(t, [pack(tar, compress)], { limits }), 'LIMIT_EXCEEDED');
  }
});

test('a layer that is missing or shrinks is an unreadable file', async (t) => {
  const request = await requestFor(t, [await layerOf('a=A')]);
  await refuses(
    t,
    { ...request, blobs: [{ path: `${request.image}-none`, digest: sha256(tarEnd) }] },
    'FILE_NOT_FOUND',
  );
  await truncate(request.blobs[0]?.path ?? '', 0);
  await refuses(t, request, 'DIGEST_MISMATCH');
});

test('one bad layer among many stops the others and leaves nothing open', async (t) => {
  const good = await Promise.all(Array.from({ length: 12 }, (_, index) => layerOf(`f${index}=${index}`)));
  const bad = await layerOf('../x=X');
  const request = await requestFor(t, [...good, bad, ...good]);
  await refuses(t, request, 'ARCHIVE_INVALID');
  const open = await Promise.all(
    (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')),
  );
  t.deepEqual(
    open.filter((path) => path.startsWith(dirname(request.image))),
    [],
  );
});
