import test from 'ava';
import fc from 'fast-check';

import { parseExactUrl } from '../../src/image/url.ts';

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
