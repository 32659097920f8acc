import test from 'ava';

import { isHttpUrl } from '../../src/image/http-url.ts';

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
