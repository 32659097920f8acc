import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import test, { type ExecutionContext } from 'ava';

import { createOciIndexFile, type OciIndexFile } from '../../../../src/store/index/writer/oci-index.ts';
import { schemaSteps } from '../../../../src/store/index/writer/open-index.ts';
import { storeLayout } from '../../../../src/store/layout.ts';
import { temporaryDirectory } from '../../../helpers/stored.ts';

/** A file of an index that lists one image, and that another tool's edits come between whenever it is asked. */
async function interrupted(
  t: ExecutionContext,
  edits: number,
): Promise<{ readonly indexFile: OciIndexFile; readonly dir: string }> {
  const dir = await temporaryDirectory(t);
  await mkdir(join(dir, 'tmp', 'me'), { recursive: true });
  const path = join(dir, 'index.json');
  writeFileSync(path, '{"schemaVersion":2,"manifests":[]}');
  const db = new DatabaseSync(':memory:');
  t.teardown(() => db.close());
  for (const step of schemaSteps) db.exec(step);
  let count = 0;
  db.function('edit', () => {
    if (count < edits) {
      count += 1;
      const document = JSON.parse(readFileSync(path, 'utf8')) as { readonly manifests: readonly unknown[] };
      const manifests = [...document.manifests, { digest: `sha256:${count}` }];
      writeFileSync(`${path}.new`, JSON.stringify({ ...document, manifests }));
      renameSync(`${path}.new`, path);
    }
    return 1;
  });
  db.exec(`
    DROP TABLE generation;
    CREATE TEMP VIEW generation AS SELECT 'here' lineage, edit() number;
    INSERT INTO registry_images VALUES (1, 'docker.io/library/app:1', '${'a'.repeat(64)}', 'type', 3, NULL, NULL, NULL,
      NULL, NULL, NULL, 'linux', 'amd64', NULL, NULL, 1, 1, 0, 'source', NULL, 0, 1, NULL, NULL)`);
  return { indexFile: createOciIndexFile(db, storeLayout(dir, 0o755), 'me'), dir };
}

test('entries that another tool writes while index.json is being replaced are not lost', async (t) => {
  const { indexFile, dir } = await interrupted(t, 3);
  indexFile.write();
  const { manifests } = JSON.parse(await readFile(join(dir, 'index.json'), 'utf8')) as {
    readonly manifests: readonly { readonly digest: string }[];
  };
  t.deepEqual(
    manifests.map(({ digest }) => digest),
    ['sha256:1', 'sha256:2', 'sha256:3', `sha256:${'a'.repeat(64)}`],
  );
  t.deepEqual(await readdir(join(dir, 'tmp', 'me')), []);
});

test('a tool that keeps writing index.json is given priority', async (t) => {
  const { indexFile, dir } = await interrupted(t, Infinity);
  t.throws(() => indexFile.write(), { code: 'STORE_BUSY' });
  t.deepEqual(await readdir(join(dir, 'tmp', 'me')), []);
});

test('an index.json that is up to date is not written', async (t) => {
  const { indexFile } = await interrupted(t, 0);
  t.true(indexFile.isStale());
  indexFile.write();
  const before = indexFile.stamp();
  t.false(indexFile.isStale());
  indexFile.write();
  t.is(indexFile.stamp(), before);
});
