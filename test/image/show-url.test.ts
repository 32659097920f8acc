import test from 'ava';

import { showUrl } from '../../src/image/show-url.ts';

test('user information, query and fragment are left out', (t) => {
  t.is(showUrl('https://user:secret@example.com:8443/a/b.aci?token=t#f'), 'https://example.com:8443/a/b.aci');
  t.is(showUrl('https://example.com/a.aci'), 'https://example.com/a.aci');
  t.is(showUrl('docker://user:secret@example.com/app?x=1'), 'docker://example.com/app');
});

test('text that is no URL loses what looks like a password or a query', (t) => {
  t.is(showUrl('https://user:pa#ss@example.com/a?b'), 'https://example.com/a');
  t.is(showUrl('https://ho st/a?token=t'), 'https://ho st/a');
  t.is(showUrl('a/b?c#d'), 'a/b');
});

test('control characters do not come through', (t) => {
  t.is(showUrl('not a url \x1b[2J'), 'not a url \\x1b[2J');
  t.notRegex(showUrl('https://example.com/\x1b[2J\n'), /[\0-\x1f]/);
});
