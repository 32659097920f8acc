import test from 'ava';
import fc from 'fast-check';

import { formatPartialState, parsePartialState, type PartialState } from '../../src/store/download-state.ts';

const state: PartialState = {
  key: 'ab',
  url: 'https://example.com/app.aci',
  epoch: 3,
  validator: { kind: 'last-modified', value: 'Mon, 02 Jan 2006 15:04:05 GMT' },
  total: 10,
  synced: 5,
  bootId: 'x',
};

test('a sidecar is read as it was written', (t) => {
  t.deepEqual(parsePartialState(formatPartialState(state), 'ab'), state);
  const { key, url, epoch, synced } = state;
  t.deepEqual(parsePartialState(formatPartialState({ key, url, epoch, synced }), 'ab'), { key, url, epoch, synced });
});

test('a sidecar that was truncated or changed anywhere is either refused or well-formed', (t) => {
  const text = formatPartialState(state);
  for (let length = 0; length < text.length - 1; length += 1)
    t.is(parsePartialState(text.slice(0, length), 'ab'), undefined);
  fc.assert(
    fc.property(fc.nat(text.length - 1), fc.string({ maxLength: 3 }), (at, piece) => {
      const parsed = parsePartialState(text.slice(0, at) + piece + text.slice(at + 1), 'ab');
      if (!parsed) return;
      t.true(Number.isSafeInteger(parsed.epoch) && parsed.epoch >= 0);
      t.true(Number.isSafeInteger(parsed.synced) && parsed.synced >= 0);
      t.true(parsed.total === undefined || parsed.total >= 0);
      t.true(parsed.validator === undefined || ['etag', 'last-modified'].includes(parsed.validator.kind));
    }),
  );
});

test('the epoch cannot lead out of the directory', (t) => {
  t.is(parsePartialState(JSON.stringify({ ...state, epoch: '../../x' }), 'ab'), undefined);
});
