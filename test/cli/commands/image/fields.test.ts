import test from 'ava';

import { relativeTime } from '../../../../src/cli/commands/image/fields.ts';

const now = Date.UTC(2024, 5, 15, 12);
const ago = (ms: number): string => relativeTime(now - ms, now);

test('a time is given in the largest unit that fits', (t) => {
  t.is(ago(0), 'just now');
  t.is(ago(999), 'just now');
  t.is(ago(1000), '1 second ago');
  t.is(ago(59_999), '59 seconds ago');
  t.is(ago(60_000), '1 minute ago');
  t.is(ago(3 * 3_600_000), '3 hours ago');
  t.is(ago(6 * 86_400_000 + 5), '6 days ago');
  t.is(ago(65 * 86_400_000), '2 months ago');
  t.is(ago(800 * 86_400_000), '2 years ago');
});

test('a time in the future is shown as such', (t) => {
  t.is(ago(-7_200_000), 'in 2 hours');
});
