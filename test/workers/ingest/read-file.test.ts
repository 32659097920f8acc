import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import test from 'ava';

import { reHash } from '../../../workers/ingest/read-file.ts';
import { someBytes } from '../../helpers/archive.ts';

test('a file of any size is hashed completely', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'longshore-hash-'));
  t.teardown(() => rm(directory, { recursive: true }));
  const path = join(directory, 'blob');
  for (const size of [0, 1, 1024 * 1024, 2_500_000]) {
    const content = someBytes(size, 1);
    await writeFile(path, content);
    for (const algorithm of ['sha512', 'sha256'] as const) {
      const hex = createHash(algorithm).update(content).digest('hex');
      t.deepEqual(await reHash({ path, algorithm }), { hex, bytes: size });
    }
  }
});

test('a missing file and a path that is no file give different errors', async (t) => {
  await t.throwsAsync(reHash({ path: '/nowhere/at/all', algorithm: 'sha512' }), { code: 'FILE_NOT_FOUND' });
  await t.throwsAsync(reHash({ path: tmpdir(), algorithm: 'sha512' }), { code: 'FILE_UNREADABLE' });
});
