import test from 'ava';
import fc from 'fast-check';

import type { Selection } from '../../src/lists/list.ts';
import { selectionFault, selectTags } from '../../src/lists/select-tags.ts';

const tags = [
  'latest',
  'edge',
  '3',
  '3.9',
  '3.10',
  '3.10.1',
  'v3.11',
  '4.0.0-rc.1',
  '4.0.0',
  '3.12-alpine',
  '2024-01-02',
  'sha-1',
];

const cases: readonly (readonly [Selection, readonly string[]])[] = [
  [{}, tags],
  [{ include: ['3\\.\\d+'] }, ['3.9', '3.10']],
  [{ include: ['3\\.\\d+'], match: 'part' }, ['3.9', '3.10', '3.10.1', 'v3.11', '3.12-alpine']],
  [{ include: ['latest', 'e.*'] }, ['latest', 'edge']],
  [{ include: ['3.*'], exclude: ['.*alpine', '3'] }, ['3.9', '3.10', '3.10.1']],
  [{ exclude: ['[^3].*'] }, ['3', '3.9', '3.10', '3.10.1', '3.12-alpine']],
  [{ semver: '>= 3.10' }, ['3.10', '3.10.1', 'v3.11', '4.0.0']],
  [{ semver: '>= 3.9, < 3.11, != 3.10.0' }, ['3.9', '3.10.1']],
  [{ semver: '~3.10 || >=4.0.0-0' }, ['3.10', '3.10.1', '4.0.0-rc.1', '4.0.0']],
  [{ semver: '=> 3.11' }, ['v3.11', '4.0.0']],
  [{ semver: '>=3.10.0-0' }, ['3.10', '3.10.1', 'v3.11', '4.0.0-rc.1', '4.0.0', '3.12-alpine']],
  [{ semver: '>= 3.11-0' }, ['v3.11', '4.0.0-rc.1', '4.0.0', '3.12-alpine']],
  [{ semver: '>=3.10.0-0, <4.0-0' }, ['3.10', '3.10.1', 'v3.11', '3.12-alpine']],
  [{ semver: '3.x-0 || 4.0.0' }, ['3', '3.9', '3.10', '3.10.1', 'v3.11', '4.0.0', '3.12-alpine']],
  [{ semver: '*-0, != 3.12.0-alpine, >3.11' }, ['4.0.0-rc.1', '4.0.0']],
  [{ semver: '3.11-0 - 4.0.0' }, ['v3.11', '4.0.0-rc.1', '4.0.0', '3.12-alpine']],
  [{ newest: 3 }, ['4.0.0-rc.1', '4.0.0', '3.12-alpine']],
  [{ newest: 2, semver: '3.x' }, ['3.10.1', 'v3.11']],
  [{ newest: 2, include: ['[a-z]+.*'], exclude: ['v.*'] }, ['latest', 'sha-1']],
  [{ include: ['nothing'] }, []],
];

for (const [selection, chosen] of cases) {
  test(`of the same tags, ${JSON.stringify(selection)} means ${chosen.length}`, (t) => {
    t.is(selectionFault(selection), undefined);
    t.deepEqual(selectTags(tags, selection), chosen);
  });
}

test('tags of dates: a date is no version, and the newest are the latest; numbers may begin with zeros', (t) => {
  const dates = ['2023-12-31', '2024-01-02', '2024-01-10', 'latest'];
  t.deepEqual(selectTags(dates, { include: ['\\d.*'], newest: 2 }), ['2024-01-02', '2024-01-10']);
  t.deepEqual(selectTags(dates, { semver: '>=2000-0' }), []);
  t.deepEqual(selectTags([...dates, '1.2'], { newest: 1 }), ['1.2']);
  t.deepEqual(selectTags([...dates, '1.2'], { semver: '*' }), ['1.2']);
  const releases = ['20.04', '22.04', '22.10', '24.04', '2024.01.02', 'noble', '24.04-rc1'];
  t.deepEqual(selectTags(releases, { semver: '>=22.04, <2000' }), ['22.04', '22.10', '24.04']);
  t.deepEqual(selectTags(releases, { semver: '!= 22.04, < 24.04' }), ['20.04', '22.10']);
  t.deepEqual(selectTags(releases, { newest: 2 }), ['24.04', '2024.01.02']);
});

test('a pattern or a range that cannot be read is a fault', (t) => {
  t.regex(selectionFault({ include: ['('] }) ?? '', /"\(" is no pattern/);
  t.regex(selectionFault({ exclude: ['(?=a)'] }) ?? '', /no pattern/);
  t.regex(selectionFault({ semver: 'new' }) ?? '', /"new" is no range/);
  t.regex(selectionFault({ semver: '!= new' }) ?? '', /no range/);
  t.regex(selectionFault({ include: Array.from({ length: 1001 }, () => 'a') }) ?? '', /more than 1000 patterns/);
  t.regex(selectionFault({ include: ['a'.repeat(1001)] }) ?? '', /more than 1000 characters/);
});

test('ten thousand tags and a pattern that makes other programs slow', (t) => {
  const many = Array.from({ length: 10_000 }, (_, n) => `${'a'.repeat(100)}${n}`);
  t.is(selectTags(many, { exclude: ['(a+)+b'] }).length, 10_000);
  const versions = Array.from({ length: 10_000 }, (_, n) => `1.${n}`);
  t.deepEqual(selectTags(versions, { newest: 2, semver: '>=1' }), ['1.9998', '1.9999']);
});

const tag = fc.string({ unit: fc.constantFrom(...'aA019.-_v'), minLength: 1, maxLength: 8 });
const selection = fc.record(
  {
    include: fc.array(fc.constantFrom('a.*', '\\d+', '.*', 'v?1.*'), { maxLength: 2 }),
    exclude: fc.array(fc.constantFrom('.*A', '0.*', '\\d\\.\\d'), { maxLength: 2 }),
    match: fc.constantFrom('whole' as const, 'part' as const),
    semver: fc.constantFrom('*', '>=1', '<0.9 || 9'),
    newest: fc.integer({ min: 1, max: 5 }),
  },
  { requiredKeys: [] },
);

test('what is chosen is a part of the tags in their order, no more than newest, and the same when chosen again', (t) => {
  fc.assert(
    fc.property(fc.array(tag), selection, (tags, selection) => {
      const chosen = selectTags(tags, selection);
      const order = [...new Set(tags)].filter((one) => chosen.includes(one));
      const { newest = Infinity, ...rest } = selection;
      const all = selectTags(tags, rest);
      return (
        JSON.stringify(chosen) === JSON.stringify(order) &&
        chosen.length === Math.min(newest, all.length) &&
        JSON.stringify(selectTags(chosen, selection)) === JSON.stringify(chosen) &&
        selectTags([...tags].reverse(), selection)
          .toSorted()
          .join() === [...chosen].sort().join()
      );
    }),
  );
  t.pass();
});
