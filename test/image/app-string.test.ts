import test from 'ava';
import fc from 'fast-check';

import { hasCode } from '../../src/errors.ts';
import { formatAppString, parseAppString } from '../../src/image/app-string.ts';

/** id, text, name, labels. */
const good: readonly (readonly [string, string, string, Readonly<Record<string, string>>])[] = [
  ['A1', 'example.com/reduce-worker:1.0.0', 'example.com/reduce-worker', { version: '1.0.0' }],
  [
    'A2',
    'example.com/reduce-worker,channel=alpha,label=value',
    'example.com/reduce-worker',
    { channel: 'alpha', label: 'value' },
  ],
  ['A8', 'example.com/app', 'example.com/app', {}],
  ['A9', 'app', 'app', {}],
  ['A12', 'example.com/app:', 'example.com/app', {}],
  ['A13', 'example.com/app:latest', 'example.com/app', { version: 'latest' }],
  ['A14', 'example.com/app,version=1.0', 'example.com/app', { version: '1.0' }],
  ['empty version label', 'example.com/app,version=', 'example.com/app', {}],
  ['A17', 'example.com/app,a=b=c', 'example.com/app', { a: 'b=c' }],
  ['A18', 'example.com:8080/app', 'example.com', { version: '8080/app' }],
  ['A22', 'example.com/app,foo= bar ', 'example.com/app', { foo: ' bar ' }],
  ['A30', 'example.com/~user/app_v1:2', 'example.com/~user/app_v1', { version: '2' }],
  ['A31', 'example.com/app:1.0+build.5', 'example.com/app', { version: '1.0+build.5' }],
  ['A32', 'example.com/app:a/b', 'example.com/app', { version: 'a/b' }],
  ['A33', 'example.com/app,os=linux,arch=amd64', 'example.com/app', { os: 'linux', arch: 'amd64' }],
  ['A34', 'example.com/app,os=plan9,arch=mips', 'example.com/app', { os: 'plan9', arch: 'mips' }],
  ['A35', 'example.com/app,label=%41', 'example.com/app', { label: '%41' }],
  ['A36', 'example.com/app,k=', 'example.com/app', { k: '' }],
  ['A37', '192.168.0.1/app', '192.168.0.1/app', {}],
  ['A47', 'example.com/app,v=a=b,w==', 'example.com/app', { v: 'a=b', w: '=' }],
  ['A50', 'example.com/app,label=a%2Cb', 'example.com/app', { label: 'a%2Cb' }],
  ['A51', 'example.com/app,a/b=c', 'example.com/app', { 'a/b': 'c' }],
  ['A53', 'example.com/app:1.0 beta', 'example.com/app', { version: '1.0 beta' }],
];

/** id, text, what the message says. */
const bad: readonly (readonly [string, string, RegExp])[] = [
  ['A3', 'not an app name', /may hold only/],
  ['A4', 'foo.com/bar,channel=alpha,dog=woof,channel=beta', /label channel is given twice/],
  ['A5', 'example.com/app,channel=beta:1.2.3', /only right after the name/],
  ['A6', 'example.com/app:3.2.1,version=1.2.3', /label version is given twice/],
  ['A7', 'example.com/app:1.0,version=1.0', /label version is given twice/],
  ['A10', '', /is empty/],
  ['A11', ':1.0', /is empty/],
  ['A15', 'example.com/app,foo', /without a value: "foo"/],
  ['A16', 'example.com/app,', /without a value/],
  ['A19', 'example.com:8080/app:1.0', /one colon/],
  ['A20', 'example.com/app,Foo=bar', /may hold only/],
  ['A21', 'example.com/app, foo=bar', /may hold only/],
  ['A23', 'example.com/app,fo%6f=bar', /may hold only/],
  ['A24', 'example.com/app,a%zz=c', /may hold only/],
  ['A25', 'example.com/app,a+b=c', /may hold only/],
  ['A26', 'Example.com/app', /may hold only/],
  ['A27', 'example.com/app/', /start and end/],
  ['A28', '/example.com/app', /start and end/],
  ['A29', 'example.com//app', /path part/],
  ['A38', 'example.com/app@1.0', /may hold only/],
  ['A39', 'example.com/app,version=1,os=linux,os=linux', /label os is given twice/],
  ['A40', 'example.com/app,-a=c', /start and end/],
  ['A41', 'example.com/app,,a=b', /without a value/],
  ['A42', 'example.com/app,name=other', /label name is given twice/],
  ['A43', 'example.com/app,a;b=c', /may hold only/],
  ['A44', 'a:b:c', /one colon/],
  ['A45', 'a,b=c:d', /only right after the name/],
  ['A46', 'example.com/app\n', /control character/],
  ['A48', 'example.com/app,foo =bar', /may hold only/],
  ['A49', '  ', /may hold only/],
  ['A52', '-example.com/app', /start and end/],
  ['control in a value', 'example.com/app:1\x1b[2J', /control character/],
];

test('a name comes with its version and labels, values taken as they stand', (t) => {
  for (const [id, text, name, labels] of good) {
    const parsed = parseAppString(text);
    t.deepEqual({ name: parsed.name, labels: Object.fromEntries(parsed.labels) }, { name, labels }, id);
  }
});

test('what is malformed is refused, and the message says why', (t) => {
  for (const [id, text, message] of bad) {
    const error = t.throws(() => parseAppString(text), undefined, id);
    t.true(hasCode(error, 'REFERENCE_INVALID'), id);
    t.regex(error.message, message, id);
    t.notRegex(error.message, /\p{Cc}/u, id);
  }
});

test('the written form is sorted and parses back to the same', (t) => {
  t.is(formatAppString(parseAppString('x.org/a:1,os=linux,arch=amd64')), 'x.org/a,arch=amd64,os=linux,version=1');
  for (const [id, text] of good) {
    const parsed = parseAppString(text);
    const again = parseAppString(formatAppString(parsed));
    t.deepEqual([again.name, ...[...again.labels].sort()], [parsed.name, ...[...parsed.labels].sort()], id);
  }
});

test('any text parses to a good name or is refused as a reference', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'ab/.:,=-% \n') }), (text) => {
      try {
        const { name, labels } = parseAppString(text);
        return name !== '' && labels.get('version') !== '' && !labels.has('name');
      } catch (error) {
        return hasCode(error, 'REFERENCE_INVALID');
      }
    }),
  );
  t.pass();
});
