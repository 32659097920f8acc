import test from 'ava';

import { semVerProblem } from '../../src/image/sem-ver.ts';

test('versions have three numbers, are not zero, and carry pre-release and metadata', (t) => {
  const good = [
    '1.0.0',
    '3.2.1-foo',
    '0.7.4',
    '1.2.3-a-b',
    '1.2.3-alpha+git',
    '0.0.0-a',
    '0.8.11+git',
    '1.2.3-a.b',
    '9.9.9',
    '01.2.3',
    '1.0.0-',
  ];
  for (const text of good) t.is(semVerProblem(text), undefined, text);
  const bad = [
    '1',
    'v1.2.3',
    '',
    '1.2.x',
    '1..0',
    '1.2.3.4',
    ' 1.2.3',
    '1.0',
    '+1.2.3',
    '-1.2.3',
    '1.-2.3',
    '1.2.3\n',
    '1.2.3-a b',
  ];
  for (const text of bad) t.regex(semVerProblem(text) ?? '', /not a version/, text);
  for (const text of ['0.0.0', '00.0.0', '0.0.0-']) t.is(semVerProblem(text), 'cannot be zero', text);
});
