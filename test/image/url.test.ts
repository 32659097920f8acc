import test from 'ava';
import fc from 'fast-check';

import { parseExactUrl, toUri } from '../../src/image/url.ts';

const cases: readonly (readonly [text: string, base: string | undefined, href: string])[] = [
  [`https://a.example/x?sig=a'b`, undefined, `https://a.example/x?sig=a'b`],
  [`https://a.example/x?sig=a%27b`, undefined, `https://a.example/x?sig=a%27b`],
  [`HTTPS://A.example:443/x?q="<{^}>"|\`#f'`, undefined, `https://a.example/x?q="<{^}>"|\``],
  [`/y?'`, `https://a.example/x?q`, `https://a.example/y?'`],
  [`y?'`, `https://a.example/d/x`, `https://a.example/d/y?'`],
  [`?'`, `https://a.example/x?q`, `https://a.example/x?'`],
  [`#f`, `https://a.example/x?'`, `https://a.example/x?'`],
  [`//b.example/y?'`, `https://a.example/x`, `https://b.example/y?'`],
  [`https://a.example?'`, undefined, `https://a.example/?'`],
  [`https://a.example/{id}/^x`, undefined, `https://a.example/{id}/^x`],
  [`https://a.example/a/../{b}`, undefined, `https://a.example/%7Bb%7D`],
  [`https://a.example/ä?ö '`, undefined, `https://a.example/%C3%A4?%C3%B6%20'`],
  [`https://a.example/x?`, undefined, `https://a.example/x?`],
];

for (const [text, base, href] of cases) {
  test(`${text}${base === undefined ? '' : ` at ${base}`} is asked for as ${href}`, (t) => {
    t.is(parseExactUrl(text, base)?.href, href);
  });
}

test('a text that is no http URL has no exact form', (t) => {
  for (const text of ['ftp://a.example/', 'file:///etc/passwd', 'x', '']) t.is(parseExactUrl(text), undefined, text);
});

test('the exact form means the same as what the URL parser reads, and is valid in a request', (t) => {
  const part = fc.string({ unit: 'binary' });
  fc.assert(
    fc.property(part, part, fc.constantFrom('https://a.example/d/e?x', 'http://b.example'), (path, query, base) => {
      for (const text of [`${path}?${query}`, `/${path}`, `https://c.example/${path}?${query}`]) {
        const found = parseExactUrl(text, base);
        const parsed = URL.parse(text, base);
        if (!found || !parsed) continue;
        parsed.hash = '';
        t.is(new URL(found.href).href, parsed.href);
        t.regex(found.href, /^[\x21-\x7e]*$/);
      }
    }),
    { numRuns: 2000 },
  );
});

for (const [source, uri] of [
  ['https://a.example/x?a=b', 'https://a.example/x?a=b'],
  ['http://[::1]:80/{x}|^"%zz[1]', 'http://[::1]/%7Bx%7D%7C%5E%22%25zz%5B1%5D'],
  ['docker://127.0.0.1:5000/team/app:1@sha256:00', 'docker://127.0.0.1:5000/team/app:1@sha256:00'],
  ['/a b/ä?#%.aci', 'file:///a%20b/%C3%A4%3F%23%25.aci'],
  ['example.com/app,os=linux', 'longshore:image/example.com%2Fapp%2Cos%3Dlinux'],
] as const) {
  test(`${source} as a URI`, (t) => t.is(toUri(source), uri));
}

test('every source is a URI of the characters that a URI may have', (t) => {
  const source = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.webUrl({ withQueryParameters: true }),
    fc.string().map((path) => `/${path}`),
    fc.string().map((path) => `https://a.example/${path}`),
  );
  fc.assert(
    fc.property(source, (text) => {
      t.regex(toUri(text), /^[a-z][a-z0-9+.-]*:(?:[\w:/?#[\]@!$&'()*+,;=.~-]|%[0-9A-Fa-f]{2})*$/);
    }),
  );
  t.pass();
});
