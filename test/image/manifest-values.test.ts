import test from 'ava';

import { isHttpUrl, isRfc3339, semVerProblem } from '../../src/image/manifest-values.ts';

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

test('dates are RFC 3339 with every part in its range', (t) => {
  const good = [
    '2004-05-14T23:11:14+00:00',
    '2001-02-03T04:05:06Z',
    '2014-11-14T17:36:54-08:00',
    '2014-10-27T19:32:27.67021798Z',
    '2016-02-29T00:00:00Z',
    '2000-02-29T00:00:00Z',
  ];
  for (const text of good) t.true(isRfc3339(text), text);
  const bad = [
    'garbage',
    '1416015188',
    '2014-10-27 19:32:27Z',
    '2014-10-27T19:32:27',
    '2014-02-30T00:00:00Z',
    '2014-10-27t19:32:27z',
    'Fri Nov 14 17:53:02 PST 2014',
    '2014-10-27T19:32:27+0000',
    '2014-10-27',
    '2015-02-29T00:00:00Z',
    '1900-02-29T00:00:00Z',
    '2014-04-31T00:00:00Z',
    '2014-00-01T00:00:00Z',
    '2014-13-01T00:00:00Z',
    '2014-01-00T00:00:00Z',
    '2014-01-01T24:00:00Z',
    '2014-01-01T00:60:00Z',
    '2014-01-01T00:00:60Z',
    '2014-01-01T00:00:00+24:00',
    '2014-01-01T00:00:00+00:60',
    '2014-01-01T00:00:00.Z',
    '2014-01-01T00:00:00Z\n',
  ];
  for (const text of bad) t.false(isRfc3339(text), text);
});

test('links are absolute http or https URLs', (t) => {
  for (const text of ['http://foo.com', 'HTTP://foo.com', 'https://foo.com/a?b#c']) t.true(isHttpUrl(text), text);
  const bad = [
    'ftp://example.com',
    'unix://file.net',
    'not a url',
    '',
    'not-A$@#URL',
    'mailto:a@b',
    'http://a b/',
    'http://a/\n',
  ];
  for (const text of bad) t.false(isHttpUrl(text), text);
});
