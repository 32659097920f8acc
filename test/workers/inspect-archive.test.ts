import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { hasCode, type ErrorCode } from '../../src/errors.ts';
import { inspectArchive } from '../../workers/inspect-archive.ts';
import type { IngestLimits } from '../../workers/tasks.ts';
import { buildAci, buildTar } from '../helpers/archive.ts';
import { requestFor, temporary } from './ingest-request.ts';

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

test('the manifest is what the archive says of itself, wherever it stands, however it is compressed', async (t) => {
  for (const manifestPosition of ['first', 'last'] as const) {
    for (const compress of ['none', 'gzip', 'xz'] as const) {
      const { bytes } = await buildAci({ ...image, manifestPosition, compress });
      const { name, labels, dependencies } = await inspect(t, bytes);
      t.deepEqual([name, labels.get('version'), dependencies[0]?.imageName], [image.name, '1', 'example.com/base']);
    }
  }
});

test('nothing behind the manifest is read', async (t) => {
  const { bytes } = await buildAci(image);
  t.is((await inspect(t, bytes.subarray(0, 2_000_000))).name, image.name);
  const { bytes: last } = await buildAci({ ...image, manifestPosition: 'last' });
  await refused(t, inspect(t, last.subarray(0, 2_000_000)), 'ARCHIVE_INVALID');
});

test('what is no image is refused, and limits hold', async (t) => {
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
