import test from 'ava';
import fc from 'fast-check';

import { parseChallenges } from '../../src/registry/authorizer.ts';

const realm = 'https://auth.example.com/token';
const parsed = (header: string | readonly string[]) =>
  parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);

const rows: Readonly<Record<string, readonly [string | readonly string[], unknown]>> = {
  'without spaces': [
    `Bearer realm="${realm}",service="s",scope="repository:o/i:pull"`,
    [['bearer', { realm, service: 's', scope: 'repository:o/i:pull' }]],
  ],
  'with spaces': [`Bearer realm="${realm}", service="s"`, [['bearer', { realm, service: 's' }]]],
  'in another case': [`bEaReR REALM="${realm}"`, [['bearer', { realm }]]],
  'with a comma in a scope': [
    `Bearer realm="${realm}",scope="repository:o/i:pull,push repository:a/b:pull"`,
    [['bearer', { realm, scope: 'repository:o/i:pull,push repository:a/b:pull' }]],
  ],
  'with a space in the service': [`Bearer service="a b",realm="${realm}"`, [['bearer', { service: 'a b', realm }]]],
  'with quotes in quotes': ['Basic realm="a \\"b\\" \\\\"', [['basic', { realm: 'a "b" \\' }]]],
  'without quotes': ['Basic realm=unquoted', [['basic', { realm: 'unquoted' }]]],
  'with a slash': ['Basic realm=/', [['basic', { realm: '/' }]]],
  'with spaces around =': ['Basic realm = "x"', [['basic', { realm: 'x' }]]],
  'with a charset': ['Basic realm="Dev", charset="UTF-8"', [['basic', { realm: 'Dev', charset: 'UTF-8' }]]],
  'two in one header': [
    `Bearer realm="${realm}", service="s", Basic realm="b"`,
    [
      ['bearer', { realm, service: 's' }],
      ['basic', { realm: 'b' }],
    ],
  ],
  'two headers': [
    ['Negotiate', 'Basic realm="x"'],
    [
      ['negotiate', {}],
      ['basic', { realm: 'x' }],
    ],
  ],
  'a scheme alone before another': [
    'Negotiate, Basic realm="x"',
    [
      ['negotiate', {}],
      ['basic', { realm: 'x' }],
    ],
  ],
  'with a token': [
    'Negotiate YWJj==, Basic realm="x"',
    [
      ['negotiate', {}],
      ['basic', { realm: 'x' }],
    ],
  ],
  'with empty elements': [', ,Basic realm="x",,', [['basic', { realm: 'x' }]]],
  'without an end': ['Basic realm="no end', [['basic', {}]]],
  nothing: ['', []],
};

for (const [what, [header, expected]] of Object.entries(rows)) {
  test(`challenges are read: ${what}`, (t) => t.deepEqual(parsed(header), expected as never));
}

test('any text is parsed to its end', (t) => {
  const piece = fc.constantFrom('Basic', 'Bearer', ' ', ',', '=', '"', '\\', 'realm', '"x"', '\t', 'é', '/');
  const text = fc.array(piece, { maxLength: 40 }).map((pieces) => pieces.join(''));
  fc.assert(fc.property(text, (header) => parseChallenges(header).every(({ scheme }) => scheme !== '')));
  t.pass();
});

test('a challenge is parsed whatever its values are', (t) => {
  const value = fc.string({ unit: fc.constantFrom('a', ' ', ',', '"', '\\', '=', ':') });
  const pairs = fc.dictionary(fc.constantFrom('realm', 'service', 'scope', 'error'), value, { minKeys: 1 });
  const quote = (text: string) => `"${text.replace(/["\\]/g, '\\$&')}"`;
  fc.assert(
    fc.property(pairs, (parameters) => {
      const header = `Bearer ${Object.entries(parameters)
        .map(([name, text]) => `${name}=${quote(text)}`)
        .join(', ')}`;
      t.deepEqual(parsed(header), [['bearer', { ...parameters }]]);
    }),
  );
});
