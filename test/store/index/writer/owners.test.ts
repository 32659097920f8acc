import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import test from 'ava';

import { schemaSteps } from '../../../../src/store/index/writer/open-index.ts';
import { createOwner, createOwners } from '../../../../src/store/index/writer/owners.ts';

test('an owner counts as silent for as long as it was watched without a sign of life', async (t) => {
  const tmp = await mkdtemp(join(tmpdir(), 'longshore-owners-'));
  t.teardown(() => rm(tmp, { recursive: true, force: true }));
  const db = new DatabaseSync(':memory:');
  for (const step of schemaSteps) db.exec(step);
  const paths = { dir: tmp, index: '', blobs: '', registryBlobs: '', ociIndex: '', downloads: '', tmp };
  const owner = createOwner({ ...paths, dirMode: 0o755, fileMode: 0o644 });
  let nowMs = 0;
  const owners = createOwners(db, { tmp }, 'self', () => nowMs);
  const after = (ms: number): number => {
    nowMs += ms;
    return owners.silentMs(owner.name);
  };

  t.is(after(0), 0);
  t.is(after(400), 400);
  t.is(after(600), 1_000);
  t.is(after(3_600_000), 2_000, 'who was stopped itself has not looked');
  owner.beat();
  t.is(after(500), 0);
  t.is(after(500), 500);
  t.is(owners.silentMs('f'.repeat(32)), 0, 'one without a lock beside its directory gives no signs');

  owner.close();
  db.close();
});
