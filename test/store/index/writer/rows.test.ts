import { DatabaseSync } from 'node:sqlite';

import test from 'ava';
import fc from 'fast-check';

import type { ImageRow } from '../../../../src/store/index/protocol.ts';
import { schemaSteps } from '../../../../src/store/index/writer/open-index.ts';
import { createRows, mergeRow } from '../../../../src/store/index/writer/rows.ts';

const signers = fc.subarray(['aa', 'bb', 'cc'], { minLength: 1 });
const imports: fc.Arbitrary<ImageRow> = fc.record({
  id: fc.constant('00'),
  name: fc.constant('example.com/app'),
  version: fc.constant(null),
  labels: fc.constant('[]'),
  dependencies: fc.constant('[]'),
  size: fc.constant(1),
  latest: fc.constantFrom(0, 1),
  source: fc.constantFrom('/a', '/b'),
  digest: fc.constantFrom('sha256:a', 'sha256:b'),
  verified: fc.option(signers.map((list) => JSON.stringify(list))),
  weak: fc.constantFrom(0, 1),
  archive: fc.constant(null),
  archiveSize: fc.constant(null),
  compression: fc.constant(null),
});

function signersOf({ verified }: ImageRow): readonly unknown[] {
  return verified === null ? [] : (JSON.parse(verified) as unknown[]);
}

test('no known fact is lost by imports in any order', (t) => {
  fc.assert(
    fc.property(fc.array(imports, { minLength: 1, maxLength: 6 }), (rows) => {
      const merged = rows.reduce(mergeRow);
      const verified = rows.filter((row) => row.verified !== null);
      t.is(merged.latest, Math.max(...rows.map((row) => row.latest)));
      // Weak only if every verification was; else the weak ones do not count.
      if (verified.length > 0) t.is(merged.weak, Math.min(...verified.map((row) => row.weak)));
      const counted = verified.filter((row) => row.weak === merged.weak);
      t.deepEqual(new Set(signersOf(merged)), new Set(counted.flatMap(signersOf)));
      t.is(new Set(signersOf(merged)).size, signersOf(merged).length);

      // Where it came from is the last import that was verified, if one was.
      const telling = verified.length > 0 ? verified : rows;
      t.is(merged.source, telling.at(-1)?.source ?? '');
      t.is(merged.digest, telling.at(-1)?.digest ?? '');
    }),
  );
  t.pass();
});

test('answers are replaced and forgotten; old ones, and the oldest of many, are removed', (t) => {
  const db = new DatabaseSync(':memory:');
  for (const step of schemaSteps) db.exec(step);
  const dayMs = 86_400_000;
  const nowMs = 100 * dayMs;
  const kept = () =>
    db
      .prepare("SELECT key, value FROM answers WHERE key NOT LIKE 'many%' ORDER BY answered_at, key")
      .all()
      .map(({ key, value }) => `${String(key)} ${String(value)}`);
  const count = () => db.prepare('SELECT count(*) count FROM answers').get()?.['count'];
  db.exec(`INSERT INTO answers VALUES ('old', '1', ${nowMs - 8 * dayMs}), ('young', '1', ${nowMs - 6 * dayMs})`);
  const rows = createRows(db);
  const put = (key: string, value: string | null) => rows.putAnswer({ key, value, answeredAtMs: nowMs });
  put('a', '1');
  put('b', '1');
  put('a', '2');
  t.deepEqual(kept(), ['young 1', 'a 2', 'b 1']);
  put('b', null);
  put('c', null);
  t.deepEqual(kept(), ['young 1', 'a 2']);

  db.exec(`WITH RECURSIVE many (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM many LIMIT 65535)
    INSERT INTO answers SELECT 'many ' || n, '1', ${nowMs} FROM many`);
  t.is(count(), 65_537);
  for (let times = 0; times < 1024; times += 1) put('a', '3');
  t.is(count(), 65_536);
  t.deepEqual(kept(), ['a 3']);
});

test('to find old answers, only times are read, however many answers there are', (t) => {
  const db = new DatabaseSync(':memory:');
  for (const step of schemaSteps) db.exec(step);
  for (const sql of [
    'DELETE FROM answers WHERE answered_at < 1',
    'SELECT key FROM answers ORDER BY answered_at DESC',
  ]) {
    const plan = db.prepare(`EXPLAIN QUERY PLAN ${sql}`).all();
    t.regex(
      plan.map(({ detail }) => detail).join('; '),
      /^(SEARCH|SCAN) answers USING (COVERING )?INDEX answers_by_age/,
      sql,
    );
  }
});
