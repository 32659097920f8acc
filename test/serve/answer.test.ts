import test from 'ava';
import fc from 'fast-check';

import { select } from '../../src/serve/answer.ts';

const etag = '"sha256:aa"';

test('whatever a range is, the answer is the whole, one part that is there, or that there is none', (t) => {
  const number = fc.oneof(fc.nat(30), fc.constant(''), fc.bigInt({ min: 0n, max: 10n ** 20n }));
  const range = fc.oneof(
    fc.tuple(number, number).map(([first, last]) => `bytes=${first}-${last}`),
    fc
      .array(fc.constantFrom('bytes', '=', '-', ',', ' ', '1', '9', 'x'), { maxLength: 12 })
      .map((parts) => parts.join('')),
  );
  fc.assert(
    fc.property(range, fc.nat(20), (text, size) => {
      const selection = select({ range: text }, etag, size);
      if (selection.status === 304 || selection.status === 416) return selection.status === 416;
      const { status, from, to } = selection;
      if (status === 200) return from === 0 && to === size;
      return from >= 0 && from < to && to <= size;
    }),
  );
  t.pass();
});

test('a range with one end or two is what it says', (t) => {
  const all = Array.from({ length: 10 }, (_, index) => index);
  for (const first of all)
    for (const last of [...all, 10, 99].filter((one) => one >= first)) {
      const selection = select({ range: `bytes=${first}-${last}` }, etag, 10);
      t.deepEqual(selection, { status: 206, from: first, to: Math.min(last, 9) + 1 });
    }
  t.deepEqual(select({ range: 'bytes=-100' }, etag, 10), { status: 206, from: 0, to: 10 });
  t.deepEqual(select({ range: 'bytes=-0' }, etag, 10), { status: 416 });
  t.deepEqual(select({ range: 'bytes=0-' }, etag, 0), { status: 416 });
});

test('what the client has is not sent again, and a part of another version is not sent', (t) => {
  for (const known of [etag, `W/${etag}`, '*', `"a",${etag}`])
    t.is(select({ 'if-none-match': known }, etag, 1).status, 304);
  for (const known of ['', 'sha256:aa', '"sha256:aab"']) t.is(select({ 'if-none-match': known }, etag, 1).status, 200);
  const range = 'bytes=0-0';
  t.is(select({ range, 'if-range': etag }, etag, 2).status, 206);
  for (const version of [`W/${etag}`, '"b"', 'Mon, 30 Nov 2026 10:00:00 GMT'])
    t.is(select({ range, 'if-range': version }, etag, 2).status, 200);
});
