import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { appendFile, mkdir, mkdtemp, open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MessageChannel, threadId } from 'node:worker_threads';
import { gzipSync } from 'node:zlib';
import { execFileSync } from 'node:child_process';

import test, { type ExecutionContext } from 'ava';

import { hasCode, type ErrorCode } from '../../src/errors.ts';
import { defaultLimits } from '../../src/image/limits.ts';
import { ingest } from '../../workers/ingest.ts';
import type { ArchiveSource, FromIngest, IngestLimits, IngestRequest, ToIngest } from '../../workers/tasks.ts';
import { buildAci, someBytes, type Aci, type Compression } from '../helpers/archive.ts';
import { forgeArchive, forgeEntry, forgeHeader, tarEnd } from '../helpers/tar-forge.ts';

const limits: IngestLimits = {
  archiveBytes: defaultLimits.archive,
  unpackedBytes: defaultLimits.unpacked,
  manifestBytes: defaultLimits.manifest,
  headerBytes: defaultLimits.header,
  entries: defaultLimits.entries,
  pathBytes: defaultLimits.path,
  dependencies: defaultLimits.dependencies,
  signatures: defaultLimits.signatures,
};

async function temporary(t: ExecutionContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'longshore-ingest-'));
  t.teardown(() => rm(directory, { recursive: true }));
  return directory;
}

async function requestFor(
  t: ExecutionContext,
  source: ArchiveSource,
  more: Partial<IngestLimits> = {},
): Promise<IngestRequest> {
  const image = join(await temporary(t), 'image');
  return { source, shown: 'https://example.com/app.aci', image, limits: { ...limits, ...more } };
}

async function refuses(t: ExecutionContext, request: IngestRequest, code: ErrorCode): Promise<unknown> {
  const error = await t.throwsAsync(ingest(request));
  t.true(hasCode(error, code), `${code}: ${String(error)}`);
  t.false(existsSync(request.image), 'nothing is left');
  return hasCode(error, code) ? error.details : undefined;
}

const bytesOf = (bytes: Uint8Array): ArchiveSource => ({ kind: 'bytes', bytes });

for (const compression of ['none', 'gzip', 'bzip2', 'xz'] satisfies Compression[]) {
  test(`an archive becomes its tar, whole and read-only: ${compression}`, async (t) => {
    const aci = await buildAci({ name: 'example.com/app', version: '1.0.0', size: 2_500_000, compress: compression });
    const file = join(await temporary(t), 'app.aci');
    await writeFile(file, aci.bytes);
    for (const source of [bytesOf(aci.bytes), { kind: 'file', path: file } as const]) {
      const request = await requestFor(t, source);
      const response = await ingest(request);
      t.deepEqual(
        { ...response, parsed: response.parsed.name },
        {
          imageId: aci.imageId,
          digest: `sha256:${createHash('sha256').update(aci.bytes).digest('hex')}`,
          archiveBytes: aci.bytes.length,
          size: aci.tar.length,
          manifest: aci.manifest,
          parsed: 'example.com/app',
          compression,
          signatureDigests: [],
        },
      );
      t.true((await readFile(request.image)).equals(aci.tar));
      t.is((await stat(request.image)).mode & 0o777, 0o444);
    }
  });
}

test('the mode of the image does not depend on the umask', async (t) => {
  const script = `
    process.umask(0o077);
    const { ingest } = await import(${JSON.stringify(new URL('../../workers/ingest.ts', import.meta.url).href)});
    await ingest(JSON.parse(process.argv[1], (key, value) => (key === 'bytes' ? Buffer.from(value, 'base64') : value)));
  `;
  const { bytes } = await buildAci({ name: 'example.com/app' });
  const request = await requestFor(t, bytesOf(bytes));
  const text = JSON.stringify({ ...request, source: { kind: 'bytes', bytes: bytes.toString('base64') } });
  execFileSync(process.execPath, ['--input-type=module', '--eval', script, text], { stdio: 'pipe' });
  t.is((await stat(request.image)).mode & 0o777, 0o444);
});

type Growing = {
  readonly aci: Aci;
  readonly path: string;
  readonly request: IngestRequest;
  readonly heard: FromIngest[];
  readonly tell: (message: ToIngest) => void;
};

async function growing(t: ExecutionContext, aci: Aci, bytes: number): Promise<Growing> {
  const path = join(await temporary(t), '1.part');
  await writeFile(path, aci.bytes.subarray(0, bytes));
  const { port1, port2 } = new MessageChannel();
  t.teardown(() => port1.close());
  const heard: FromIngest[] = [];
  port1.on('message', (message: FromIngest) => heard.push(message));
  const request = await requestFor(t, { kind: 'growing', path, bytes, port: port2 });
  return { aci, path, request, heard, tell: (message) => port1.postMessage(message) };
}

async function until(condition: () => boolean): Promise<void> {
  for (const end = Date.now() + 20_000; !condition() && Date.now() < end;) await sleep(5);
}

for (const compression of ['none', 'gzip', 'bzip2', 'xz'] satisfies Compression[]) {
  test(`a growing file is followed to its end: ${compression}`, async (t) => {
    const aci = await buildAci({ name: 'example.com/app', size: 700_000, compress: compression });
    const { path, request, heard, tell } = await growing(t, aci, 1000);
    const result = ingest(request);
    let there = 1000;
    for (const step of [1, 4096, 100_000, aci.bytes.length]) {
      const next = Math.min(aci.bytes.length, there + step);
      await appendFile(path, aci.bytes.subarray(there, next));
      tell({ kind: 'grown', bytes: next });
      await sleep(5);
      there = next;
    }
    tell({ kind: 'complete', bytes: aci.bytes.length });
    t.is((await result).imageId, aci.imageId);
    await until(() => heard.length === 2);
    t.deepEqual(heard, [
      { kind: 'started', threadId },
      { kind: 'manifest', manifest: aci.manifest },
    ]);
  });
}

test('the manifest is told while the rest of the file is not there yet', async (t) => {
  const aci = await buildAci({ name: 'example.com/app', size: 700_000, compress: 'gzip' });
  const { path, request, heard, tell } = await growing(t, aci, 300_000);
  const result = ingest(request);
  await until(() => heard.length === 2);
  t.deepEqual(heard[1], { kind: 'manifest', manifest: aci.manifest });
  await appendFile(path, aci.bytes.subarray(300_000));
  tell({ kind: 'complete', bytes: aci.bytes.length });
  t.is((await result).imageId, aci.imageId);
});

test('a session that is told to stop ends at once and leaves nothing', async (t) => {
  const aci = await buildAci({ name: 'example.com/app', size: 700_000, compress: 'gzip' });
  const { request, heard, tell } = await growing(t, aci, 300_000);
  const refused = refuses(t, request, 'CANCELLED');
  await until(() => heard.length === 2);
  tell({ kind: 'stop' });
  await refused;
});

test('a session that is told to stop leaves a bomb in the middle', async (t) => {
  const aci = await buildAci({
    name: 'example.com/app',
    files: { zeros: Buffer.alloc(100_000_000) },
    compress: 'gzip',
  });
  const { request, heard, tell } = await growing(t, aci, aci.bytes.length);
  const refused = refuses(t, request, 'CANCELLED');
  await until(() => heard.length === 2);
  tell({ kind: 'stop' });
  await refused;
});

test('a session ends when nobody is left to tell it more', async (t) => {
  const aci = await buildAci({ name: 'example.com/app', size: 5000 });
  const path = join(await temporary(t), '1.part');
  await writeFile(path, aci.bytes.subarray(0, 2000));
  const { port1, port2 } = new MessageChannel();
  const refused = refuses(t, await requestFor(t, { kind: 'growing', path, bytes: 2000, port: port2 }), 'CANCELLED');
  port1.close();
  await refused;
});

test('a file that ends before the bytes that were told is unreadable', async (t) => {
  const aci = await buildAci({ name: 'example.com/app', size: 5000 });
  const { request, tell } = await growing(t, aci, 2000);
  tell({ kind: 'complete', bytes: 3000 });
  await refuses(t, request, 'FILE_UNREADABLE');
});

test('limits hold before they are passed on disk', async (t) => {
  const aci = await buildAci({
    name: 'example.com/app',
    size: 2_000_000,
    compress: 'gzip',
    dependencies: [{ imageName: 'example.com/b' }],
  });
  const cases = [
    [{ archiveBytes: aci.bytes.length - 1 }, 'archive'],
    [{ unpackedBytes: aci.tar.length - 1 }, 'unpacked'],
    [{ manifestBytes: 20 }, 'manifest'],
    [{ entries: 1 }, 'entries'],
    [{ pathBytes: 4 }, 'path'],
    [{ dependencies: 0 }, 'dependencies'],
  ] as const;
  for (const [limit, name] of cases) {
    const details = await refuses(t, await requestFor(t, bytesOf(aci.bytes), limit), 'LIMIT_EXCEEDED');
    t.deepEqual(details, { limit: name, maximum: Object.values(limit)[0] });
  }
  const exact = { archiveBytes: aci.bytes.length, unpackedBytes: aci.tar.length };
  t.is((await ingest(await requestFor(t, bytesOf(aci.bytes), exact))).imageId, aci.imageId);
});

test('a bomb stops at the limit', async (t) => {
  const aci = await buildAci({
    name: 'example.com/app',
    files: { zeros: Buffer.alloc(50_000_000) },
    compress: 'bzip2',
  });
  await refuses(t, await requestFor(t, bytesOf(aci.bytes), { unpackedBytes: 1_000_000 }), 'LIMIT_EXCEEDED');
});

const refusedArchives: readonly [title: string, code: ErrorCode, bytes: Buffer][] = [
  ['nothing', 'ARCHIVE_UNREADABLE', Buffer.alloc(0)],
  ['a login page', 'ARCHIVE_UNREADABLE', Buffer.from('<!DOCTYPE html><html>')],
  ['a truncated gzip', 'ARCHIVE_UNREADABLE', gzipSync(forgeArchive()).subarray(0, -1)],
  ['bytes behind the gzip stream', 'ARCHIVE_UNREADABLE', Buffer.concat([gzipSync(forgeArchive()), Buffer.alloc(1)])],
  ['a tar without its end', 'ARCHIVE_INVALID', forgeArchive().subarray(0, -512)],
  ['a path outside rootfs', 'ARCHIVE_INVALID', forgeArchive(forgeEntry({ name: 'other' }))],
  [
    'a broken manifest',
    'MANIFEST_INVALID',
    Buffer.concat([forgeEntry({ name: 'manifest' }, '{'), forgeHeader({ name: 'rootfs', type: '5' }), tarEnd]),
  ],
];

for (const [title, code, bytes] of refusedArchives) {
  test(`refused, with nothing left: ${title}`, async (t) => {
    await refuses(t, await requestFor(t, bytesOf(bytes)), code);
  });
}

test('files that cannot be read are told apart', async (t) => {
  const directory = await temporary(t);
  const missing = join(directory, 'missing');
  t.deepEqual(await refuses(t, await requestFor(t, { kind: 'file', path: missing }), 'FILE_NOT_FOUND'), {
    path: 'https://example.com/app.aci',
  });
  await mkdir(join(directory, 'directory'));
  const error = await t.throwsAsync(ingest(await requestFor(t, { kind: 'file', path: join(directory, 'directory') })), {
    code: 'FILE_UNREADABLE',
  });
  t.regex(error.message, /directory/);
  execFileSync('mkfifo', [join(directory, 'fifo')]);
  await refuses(t, await requestFor(t, { kind: 'file', path: join(directory, 'fifo') }), 'FILE_UNREADABLE');
  await refuses(t, await requestFor(t, { kind: 'file', path: '/dev/zero' }), 'FILE_UNREADABLE');
  await refuses(t, await requestFor(t, { kind: 'file', path: '/proc/self/mem' }), 'FILE_UNREADABLE');
});

test('an image file that is there already is left alone', async (t) => {
  const { bytes } = await buildAci({ name: 'example.com/app' });
  const request = await requestFor(t, bytesOf(bytes));
  await writeFile(request.image, 'precious');
  await t.throwsAsync(ingest(request), { code: 'EEXIST' });
  t.is(await readFile(request.image, 'utf8'), 'precious');
});

test('a directory that cannot be written is a read-only store', async (t) => {
  const { bytes } = await buildAci({ name: 'example.com/app' });
  const request = { ...(await requestFor(t, bytesOf(bytes))), image: '/proc/longshore-image' };
  const error = await t.throwsAsync(ingest(request));
  t.true(hasCode(error, 'STORE_READ_ONLY') || hasCode(error, 'STORE_CORRUPT'), String(error));
});

test('many sessions share a thread', async (t) => {
  const acis = await Promise.all(
    Array.from({ length: 12 }, (_, seed) =>
      buildAci({ name: 'example.com/app', size: 300_000, seed, compress: 'gzip' }),
    ),
  );
  const results = await Promise.all(acis.map(async ({ bytes }) => ingest(await requestFor(t, bytesOf(bytes)))));
  t.deepEqual(
    results.map(({ imageId }) => imageId),
    acis.map(({ imageId }) => imageId),
  );
});

test('a large sparse file is read in a few megabytes of memory', async (t) => {
  const path = join(await temporary(t), 'large.aci');
  const size = 96 * 1024 * 1024;
  const head = Buffer.concat([forgeArchive().subarray(0, -1024), forgeHeader({ name: 'rootfs/large', size })]);
  await using file = await open(path, 'w');
  await file.write(head);
  await file.truncate(head.length + size + 1024);
  const before = process.memoryUsage().arrayBuffers;
  let peak = 0;
  const timer = setInterval(() => (peak = Math.max(peak, process.memoryUsage().arrayBuffers - before)), 1);
  const response = await ingest(await requestFor(t, { kind: 'file', path }));
  clearInterval(timer);
  t.is(response.size, head.length + size + 1024);
  t.true(peak < 32 * 1024 * 1024, `${Math.round(peak / 1024)} KiB of buffers`); // the whole file would be 96 MiB
});

test('what comes in is hashed as it was transferred', async (t) => {
  const tar = forgeArchive(forgeEntry({}, someBytes(1000, 5)));
  const once = await ingest(await requestFor(t, bytesOf(gzipSync(tar, { level: 1 }))));
  const twice = await ingest(await requestFor(t, bytesOf(gzipSync(tar, { level: 9 }))));
  t.is(once.imageId, twice.imageId);
  t.not(once.digest, twice.digest);
});
