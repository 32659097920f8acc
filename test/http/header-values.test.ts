import test from 'ava';

import {
  contentLength,
  freshnessOf,
  headerOf,
  maxAgeMs,
  mayBeSame,
  parseContentRange,
  parseHttpDate,
  parseUnsatisfiedRange,
  strongValidator,
} from '../../src/http/headers.ts';

const week = 7 * 86_400;

test('max-age is in seconds since the answer was made, a week at most; no-store and no-cache override it', (t) => {
  const cases: readonly [string | string[], number, string?][] = [
    ['max-age=10', 10],
    ['no-cache', 0],
    ['no-store', 0],
    ['no-cache, max-age=10', 0],
    ['max-age=10, no-store', 0],
    ['max-age=10,NO-STORE', 0],
    ['max-age=10, no-cache="set-cookie"', 0],
    ['public, Max-Age=10', 10],
    ['max-age="10"', 10],
    ['max-age = 10', 10],
    ['max-age=10, max-age=5', 5],
    ['s-maxage=10', 0],
    ['x-max-age=10', 0],
    ['max-age=-1', 0],
    ['max-age=ten, max-age=10', 10],
    ['max-age', 0],
    ['max-age=1e3', 0],
    [['public', 'max-age=10'], 10],
    [['max-age=10', 'no-store'], 0],
    ['foo="no-store", max-age=10', 10],
    ['foo="a, no-store", max-age=10', 10],
    ['max-age=604800', week],
    ['max-age=31536000', week],
    ['max-age=99999999999999', week],
    ['max-age=31536000', week, '864000'],
    ['max-age=864000', 86_400, '777600'],
    ['', 0],
    ['max-age=10', 6, '4'],
    ['max-age=10', 0, '11'],
    ['max-age=10', 10, 'old'],
  ];
  for (const [value, seconds, age] of cases) {
    const headers = { 'cache-control': value, ...(age !== undefined && { age }) };
    t.is(maxAgeMs(headers), seconds * 1000, JSON.stringify(headers));
  }
  t.is(maxAgeMs({}), 0);
});

test('an invalid Content-Range counts as absent', (t) => {
  t.deepEqual(parseContentRange('bytes 1-2/3'), { start: 1, end: 2, total: 3 });
  t.deepEqual(parseContentRange('Bytes 0-0/*'), { start: 0, end: 0 });
  const wrong = ['bytes 2-1/3', 'bytes 1-3/3', 'bytes 1-2', 'bytes */3', 'bytes -1-2/3', 'bytes 1-2/3 ', 'bytes=1-2/3'];
  for (const text of [...wrong, '1-2/3', 'bytes 1-2/9007199254740993', 'bytes 0x1-2/3', '', undefined]) {
    t.is(parseContentRange(text), undefined, text);
  }
  t.is(parseUnsatisfiedRange('bytes */3'), 3);
  t.is(parseUnsatisfiedRange('bytes 0-1/3'), undefined);
});

test('an HTTP date has one form', (t) => {
  t.is(parseHttpDate('Sun, 06 Nov 1994 08:49:37 GMT'), 784_111_777_000);
  for (const text of ['Sunday, 06-Nov-94 08:49:37 GMT', '2025-07-01', 'Sun, 06 Nov 1994 28:49:37 GMT', '1', '']) {
    t.is(parseHttpDate(text), undefined, text);
  }
});

test('a strong validator is a strong ETag, or without any ETag a Last-Modified at least a second before Date', (t) => {
  const [date, old] = ['Tue, 01 Jul 2025 10:00:01 GMT', 'Tue, 01 Jul 2025 10:00:00 GMT'];
  const lastModified = { kind: 'last-modified', value: old };
  t.deepEqual(strongValidator({ etag: '"1"', 'last-modified': old, date }), { kind: 'etag', value: '"1"' });
  t.deepEqual(strongValidator({ 'last-modified': old, date }), lastModified);
  for (const headers of [
    { etag: 'W/"1"', 'last-modified': old, date },
    { etag: 'bare', 'last-modified': old, date },
    { etag: '"a"b"' },
    { etag: ['"1"', '"2"'] },
    { 'last-modified': date, date },
    { 'last-modified': old },
    { 'last-modified': old, date: 'now' },
    {},
  ]) {
    t.is(strongValidator(headers), undefined, JSON.stringify(headers));
  }
});

test('an answer may have the same bytes unless its validator differs', (t) => {
  const etag = { kind: 'etag', value: '"1"' } as const;
  const date = { kind: 'last-modified', value: 'Tue, 01 Jul 2025 10:00:00 GMT' } as const;
  t.true(mayBeSame(etag, {}));
  t.true(mayBeSame(etag, { etag: '"1"' }));
  t.true(mayBeSame(date, { 'last-modified': date.value }));
  t.false(mayBeSame(etag, { etag: '"2"' }));
  t.false(mayBeSame(etag, { etag: 'W/"1"' }));
  t.false(mayBeSame(etag, { etag: ['"1"', '"2"'] }));
  t.false(mayBeSame(date, { 'last-modified': 'Tue, 01 Jul 2025 10:00:01 GMT' }));
  t.false(mayBeSame(date, { etag: '"1"', 'last-modified': date.value }));
  t.false(mayBeSame(etag, { 'last-modified': date.value }), 'another kind of validator says nothing for it');
});

test('freshness keeps the validators that can be sent back', (t) => {
  const lastModified = 'Tue, 01 Jul 2025 10:00:00 GMT';
  t.deepEqual(freshnessOf({ etag: 'W/"1"', 'last-modified': lastModified }), {
    etag: 'W/"1"',
    lastModified,
    maxAgeMs: 0,
  });
  t.deepEqual(freshnessOf({ etag: 'no quotes', 'last-modified': 'yesterday' }), { maxAgeMs: 0 });
});

test('a repeated header that may occur once is used if all its values agree', (t) => {
  t.is(headerOf({ a: ['1', '1'] }, 'a'), '1');
  t.is(headerOf({ a: ['1', '2'] }, 'a'), undefined);
  t.is(headerOf({}, 'a'), undefined);
  t.is(contentLength({ 'content-length': '12' }), 12);
  t.is(contentLength({ 'content-length': '-1' }), undefined);
});
