import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, open, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import test, { type ExecutionContext } from 'ava';

import { type ErrorCode, hasCode } from '../../../src/errors.ts';
import { ingest, inspectArchive } from '../../../workers/ingest/ingest.ts';
import type { ArchiveSource, IngestLimits } from '../../../workers/ingest/requests.ts';
import { verifySignature } from '../../../workers/openpgp/verify-signature.ts';
import { buildAci, buildTar, type Compression, someBytes } from '../../helpers/archive.ts';
import { stampNow } from '../../helpers/blob.ts';
import { openGpg } from '../../helpers/keys.ts';
import { forgeArchive, forgeEntry, forgeHeader, tarEnd } from '../../helpers/tar-forge.ts';
import { refuses, requestFor, temporary } from '../ingest-request.ts';

const bytesOf = (bytes: Uint8Array): ArchiveSource => ({ kind: 'bytes', bytes });

for (const compression of ['none', 'gzip', 'bzip2', 'xz'] satisfies Compression[]) {
  test(`an archive is unpacked to a complete, read-only tar: ${compression}`, async (t) => {
    const aci = await buildAci({ name: 'example.com/app', version: '1.0.0', size: 2_500_000, compress: compression });
    const file = join(await temporary(t), 'app.aci');
    await writeFile(file, aci.bytes);
    for (const source of [bytesOf(aci.bytes), { kind: 'file', path: file } as const]) {
      const request = await requestFor(t, source);
      const beganMs = performance.now();
      const { steps, ...response } = await ingest(request);
      const passedMs = performance.now() - beganMs;
      t.true(Object.values(steps).reduce((sum, ms) => sum + ms) <= passedMs + 1);
      t.true(steps.hash > 0 && steps.sync > 0);
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
          stamp: stampNow(request.image),
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
    const { ingest } = await import(${JSON.stringify(new URL('../../../workers/ingest/ingest.ts', import.meta.url).href)});
    await ingest(JSON.parse(process.argv[1], (key, value) => (key === 'bytes' ? Buffer.from(value, 'base64') : value)));
  `;
  const { bytes } = await buildAci({ name: 'example.com/app' });
  const request = await requestFor(t, bytesOf(bytes));
  const text = JSON.stringify({ ...request, source: { kind: 'bytes', bytes: bytes.toString('base64') } });
  execFileSync(process.execPath, ['--input-type=module', '--eval', script, text], { stdio: 'pipe' });
  t.is((await stat(request.image)).mode & 0o777, 0o444);
});

test('limits apply before more is written to the disk', async (t) => {
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
  test(`refused, and nothing is left: ${title}`, async (t) => {
    await refuses(t, await requestFor(t, bytesOf(bytes)), code);
  });
}

test('files that cannot be read give different errors by cause', async (t) => {
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

test('an existing image file is left alone', async (t) => {
  const { bytes } = await buildAci({ name: 'example.com/app' });
  const request = await requestFor(t, bytesOf(bytes));
  await writeFile(request.image, 'precious');
  await t.throwsAsync(ingest(request), { code: 'EEXIST' });
  t.is(await readFile(request.image, 'utf8'), 'precious');
});

test('a directory that cannot be written is reported as a read-only store', async (t) => {
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

test.serial('a large sparse file is read with a few megabytes of memory', async (t) => {
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

test('the bytes are hashed as they were transferred', async (t) => {
  const tar = forgeArchive(forgeEntry({}, someBytes(1000, 5)));
  const once = await ingest(await requestFor(t, bytesOf(gzipSync(tar, { level: 1 }))));
  const twice = await ingest(await requestFor(t, bytesOf(gzipSync(tar, { level: 9 }))));
  t.is(once.imageId, twice.imageId);
  t.not(once.digest, twice.digest);
});

test('the digests for a signature are those of the archive as it was transferred', async (t) => {
  await using gpg = await openGpg();
  const fingerprint = await gpg.createKey();
  const certificate = await gpg.certificate(fingerprint);
  const { bytes } = await buildAci({ name: 'example.com/app', size: 100_000, compress: 'gzip' });
  const signature = await gpg.sign(fingerprint, bytes);
  const file = { bytes: signature, location: 'app.aci.asc' };
  const { signatureDigests: digests } = await ingest({ ...(await requestFor(t, bytesOf(bytes))), signature: file });
  const verified = await verifySignature({
    signature,
    location: file.location,
    digests,
    keys: [{ fingerprint, certificate, path: 'root.d/key' }],
    name: 'example.com/app',
    searched: ['root'],
    weakKeys: false,
    nowMs: Date.now(),
    signatures: 64,
  });
  t.deepEqual(verified.signedBy, [fingerprint]);
});

test('with keys, a good signature is verified at once; any other is left to who asks, as is an image of another name', async (t) => {
  await using gpg = await openGpg();
  const fingerprint = await gpg.createKey();
  const keys = [{ fingerprint, certificate: await gpg.certificate(fingerprint), path: 'root.d/key' }];
  const { bytes } = await buildAci({ name: 'example.com/app', size: 10_000, compress: 'gzip' });
  const good = await gpg.sign(fingerprint, bytes);
  const bad = await gpg.sign(fingerprint, Buffer.from('other bytes'));
  const rules = { searched: ['root'], weakKeys: false, nowMs: Date.now(), signatures: 64 };
  const signersOf = async (signature: Uint8Array, verify: { keys: typeof keys; name?: string }) => {
    const file = { bytes: signature, location: 'app.aci.asc' };
    const request = { ...(await requestFor(t, bytesOf(bytes))), signature: file, verify: { ...rules, ...verify } };
    const { imageId, verification } = await ingest(request);
    t.true(imageId.startsWith('sha512-'));
    return verification?.signedBy;
  };
  t.deepEqual(await signersOf(good, { keys }), [fingerprint]);
  t.deepEqual(await signersOf(good, { keys, name: 'example.com/app' }), [fingerprint]);
  t.is(await signersOf(good, { keys, name: 'example.com/other' }), undefined);
  t.is(await signersOf(good, { keys: [] }), undefined);
  t.is(await signersOf(bad, { keys }), undefined);
});

test('an invalid signature file is refused before the archive is read', async (t) => {
  const request = await requestFor(t, bytesOf(Buffer.from('no archive either')));
  const signature = { bytes: Buffer.from('<html>'), location: 'https://example.com/app.aci.asc' };
  const details = await refuses(t, { ...request, signature }, 'SIGNATURE_UNREADABLE');
  t.deepEqual(details, { location: signature.location }, 'what is named is the signature, not the image');
});

const script = `
  const { ingest } = await import(${JSON.stringify(new URL('../../../workers/ingest/ingest.ts', import.meta.url).href)});
  await ingest(JSON.parse(process.argv[1])).catch(({ code }) => console.log(code));
`;

test('a full disk and a read-only one give different errors, and the space is freed', async (t) => {
  const directory = await temporary(t);
  const archive = join(directory, 'app.aci');
  await writeFile(archive, (await buildAci({ name: 'example.com/app', size: 2_000_000, compress: 'gzip' })).bytes);
  const request = {
    ...(await requestFor(t, { kind: 'file', path: archive })),
    image: join(directory, 'disk', 'image'),
  };
  await mkdir(join(directory, 'disk'));
  const shell = `
    mount -t tmpfs -o size=1m tmpfs "$1/disk" || exit 0
    "$2" --input-type=module --eval "$3" "$4"; ls "$1/disk"
    mount -o remount,ro "$1/disk"
    "$2" --input-type=module --eval "$3" "$4"; ls "$1/disk"
  `;
  const parameters = ['sh', directory, process.execPath, script, JSON.stringify(request)];
  const output = runPrivately(['sh', '-c', shell, ...parameters]);
  if (output === undefined) t.log('no mounts of its own here: not tried');
  else t.is(output, 'STORE_FULL\nSTORE_READ_ONLY\n');
  t.pass();
});

/** Runs a command that may mount; undefined where that is not allowed. */
function runPrivately(command: readonly string[]): string | undefined {
  for (const options of [['--mount'], ['--mount', '--map-root-user']]) {
    try {
      const output = execFileSync('unshare', [...options, ...command], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      if (output !== '') return output;
    } catch (error) {
      if (!(error instanceof Error && ('status' in error || 'code' in error))) throw error;
    }
  }
  return undefined;
}

async function inspect(t: ExecutionContext, bytes: Uint8Array, more: Partial<IngestLimits> = {}) {
  const path = join(await temporary(t), 'app.aci');
  await writeFile(path, bytes);
  const { shown, limits } = await requestFor(t, { kind: 'file', path }, more);
  return inspectArchive({ path, shown, limits });
}

const image = {
  name: 'example.com/app',
  version: '1',
  dependencies: [{ imageName: 'example.com/base' }],
  size: 3_000_000,
} as const;

test('the manifest is that of the archive, wherever it is, however the archive is compressed', async (t) => {
  for (const manifestPosition of ['first', 'last'] as const) {
    for (const compress of ['none', 'gzip', 'xz'] as const) {
      const { bytes } = await buildAci({ ...image, manifestPosition, compress });
      const { name, labels, dependencies } = await inspect(t, bytes);
      t.deepEqual([name, labels.get('version'), dependencies[0]?.imageName], [image.name, '1', 'example.com/base']);
    }
  }
});

test('nothing after the manifest is read', async (t) => {
  const { bytes } = await buildAci(image);
  t.is((await inspect(t, bytes.subarray(0, 2_000_000))).name, image.name);
  const { bytes: last } = await buildAci({ ...image, manifestPosition: 'last' });
  await refused(t, inspect(t, last.subarray(0, 2_000_000)), 'ARCHIVE_INVALID');
});

test('a file that is no image is refused, and limits apply', async (t) => {
  await refused(t, inspect(t, Buffer.from('<html></html>')), 'ARCHIVE_UNREADABLE');
  await refused(t, inspect(t, await buildTar([{ name: 'rootfs/', type: 'directory' }])), 'ARCHIVE_INVALID');
  const { bytes } = await buildAci(image);
  await refused(t, inspect(t, bytes, { dependencies: 0 }), 'LIMIT_EXCEEDED');
  const { bytes: last } = await buildAci({ ...image, manifestPosition: 'last' });
  await refused(t, inspect(t, last, { unpackedBytes: 1_000_000 }), 'LIMIT_EXCEEDED');
});

async function refused(t: ExecutionContext, attempt: Promise<unknown>, code: ErrorCode): Promise<void> {
  const error = await t.throwsAsync(attempt);
  t.true(hasCode(error, code), `${code}: ${String(error)}`);
}
