import test from 'ava';
import fc from 'fast-check';

import { show, showUrl } from '../../src/image/show.ts';

test('ordinary text is shown as it is, accents and emoji included', (t) => {
  t.is(show('example.com/app:1.0 – naïve 🐳'), 'example.com/app:1.0 – naïve 🐳');
});

test('control, bidi and line separator characters become visible escapes', (t) => {
  t.is(show('a\x1b[31mb\x07\x7f\x85c\r\n\t'), 'a\\x1b[31mb\\x07\\x7f\\x85c\\x0d\\x0a\\x09');
  t.is(show('a\u202eb\u2066c\u200fd\u061c'), 'a\\u202eb\\u2066c\\u200fd\\u061c');
  t.is(show('a\u2028b\u2029'), 'a\\u2028b\\u2029');
  t.is(show('a\ud800b'), 'a\\ud800b');
});

test('long text is cut, between characters and never inside an escape', (t) => {
  t.is(show('abcdef', 5), 'abcde…');
  t.is(show('abcde', 5), 'abcde');
  t.is(show('abc🐳', 4), 'abc…');
  t.is(show('abc\x1b', 5), 'abc…');
  t.is(show('x'.repeat(1000)), `${'x'.repeat(200)}…`);
});

test('for any text the result contains nothing that moves a cursor or starts a line, and its length is bounded', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), fc.integer({ min: 0, max: 250 }), (text, max) => {
      const shown = show(text, max);
      return shown.length <= max + 1 && !/[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/.test(shown);
    }),
  );
  t.pass();
});

test('user information, query and fragment are left out', (t) => {
  t.is(showUrl('https://user:secret@example.com:8443/a/b.aci?token=t#f'), 'https://example.com:8443/a/b.aci');
  t.is(showUrl('https://example.com/a.aci'), 'https://example.com/a.aci');
  t.is(showUrl('docker://user:secret@example.com/app?x=1'), 'docker://example.com/app');
});

test('in a text that is no URL, everything that looks like a password or a query is removed', (t) => {
  t.is(showUrl('https://user:pa#ss@example.com/a?b'), 'https://example.com/a');
  t.is(showUrl('https://ho st/a?token=t'), 'https://ho st/a');
  t.is(showUrl('a/b?c#d'), 'a/b');
});

test('control characters are escaped', (t) => {
  t.is(showUrl('not a url \x1b[2J'), 'not a url \\x1b[2J');
  t.notRegex(showUrl('https://example.com/\x1b[2J\n'), /[\0-\x1f]/);
});
