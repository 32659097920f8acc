import { DatabaseSync } from 'node:sqlite';
import { setTimeout } from 'node:timers/promises';

import test from 'ava';

import { type ClaimMessage, createClaims } from '../../../../src/store/index/writer/claims.ts';
import { schemaSteps } from '../../../../src/store/index/writer/open-index.ts';

test('a claim whose release failed is released later, even if taking it again failed meanwhile', async (t) => {
  const db = new DatabaseSync(':memory:');
  t.teardown(() => db.close());
  for (const step of schemaSteps) db.exec(step);
  const owners = { isAlive: () => true, silentMs: () => 0, sweep: () => ({ files: 0, bytes: 0, left: [] }) };
  const claims = createClaims(db, owners, { name: 'self', beat: () => undefined, close: () => undefined });
  const message = (task: ClaimMessage['task'], key: string): ClaimMessage => ({ id: 0, task, request: { key } });
  const held = () => db.prepare('SELECT key FROM claims').all();

  claims.run([message('claim', 'one')]);
  db.exec(`CREATE TRIGGER no_delete BEFORE DELETE ON claims BEGIN SELECT RAISE(ABORT, 'full'); END`);
  t.notThrows(() => claims.run([message('release', 'one')]));
  db.exec(
    `CREATE TRIGGER no_insert BEFORE INSERT ON claims WHEN NEW.key = 'two' BEGIN SELECT RAISE(ABORT, 'full'); END`,
  );
  t.throws(() => claims.run([message('claim', 'one'), message('claim', 'two')]), { message: 'full' });
  t.like(held(), [{ key: 'one' }]);
  db.exec('DROP TRIGGER no_delete');

  for (let times = 0; times < 50 && held().length > 0; times += 1) await setTimeout(100);
  t.deepEqual(held(), []);
});
