import test from 'ava';
import fc from 'fast-check';

import { hasCode, ImageError } from '../../src/errors.ts';
import type { ImageType } from '../../src/image/apps.ts';
import {
  formatAppString,
  formatReference,
  type ImageReference,
  parseAppString,
  parseReference,
  referenceKey,
} from '../../src/image/reference.ts';

const hex = '0123456789abcdef'.repeat(8);

function parse(text: string, type: ImageType = 'guess', files: readonly string[] = []): ImageReference {
  return parseReference(text, { directory: '/work/dir', type, isFile: (path) => files.includes(path) });
}

/** What a reference is, and what it points at. */
function gist(reference: ImageReference): string {
  return `${reference.kind} ${formatReference(reference)}`;
}

test('the kind of a reference is guessed from its form', (t) => {
  const rows: readonly (readonly [string, string])[] = [
    ['sha512-ab12', 'id sha512-ab12'],
    [`SHA512-${hex.toUpperCase()}`, `id sha512-${hex}`],
    ['http://x.org/a.aci', 'url http://x.org/a.aci'],
    ['HTTPS://X.org', 'url https://x.org/'],
    ['file:///d/a.aci', 'file /d/a.aci'],
    ['docker://busybox', 'registry docker://docker.io/library/busybox:latest'],
    ['/abs/path', 'file /abs/path'],
    ['n:1.2.3', 'name n,version=1.2.3'],
    ['app:v1', 'name app,version=v1'],
    ['../up/a', 'file /work/up/a'],
    ['./x', 'file /work/dir/x'],
    ['d/./x', 'file /work/dir/d/x'],
    ['x.aci', 'file /work/dir/x.aci'],
    [`sha512-${hex}.aci`, `file /work/dir/sha512-${hex}.aci`],
    ['a/b', 'name a/b'],
    ['a/b,version=1,foo=bar', 'name a/b,foo=bar,version=1'],
    ['sha512-not-existed', 'name sha512-not-existed'],
    ['example.com:8080/app', 'name example.com,version=8080/app'],
    ['ftp:1', 'name ftp,version=1'],
  ];
  for (const [text, expected] of rows) {
    const reference = parse(text);
    t.is(gist(reference), expected, text);
    t.is(reference.text, text);
  }
});

test('an existing regular file takes precedence over a name, not over an ID or a URL', (t) => {
  const files = [
    '/work/dir/app:v1',
    '/work/dir/a/b',
    '/work/dir/sha512-ab',
    '/work/dir/file:x',
    '/work/dir/http:/x.org/a',
  ];
  t.is(gist(parse('app:v1', 'guess', files)), 'file /work/dir/app:v1');
  t.is(gist(parse('a/b', 'guess', files)), 'file /work/dir/a/b');
  t.is(gist(parse('file:x', 'guess', files)), 'file /work/dir/file:x');
  t.is(gist(parse('sha512-ab', 'guess', files)), 'id sha512-ab');
  t.is(gist(parse('http://x.org/a', 'guess', files)), 'url http://x.org/a');
});

test('a given type is not guessed', (t) => {
  t.is(gist(parse('docker:busybox', 'name')), 'name docker,version=busybox');
  t.is(gist(parse('a/b', 'path')), 'file /work/dir/a/b');
  t.is(gist(parse('a/b:1', 'docker')), 'registry docker://docker.io/a/b:1');
  t.is(gist(parse('docker://a/b:1', 'docker')), 'registry docker://docker.io/a/b:1');
  t.true(
    hasCode(
      t.throws(() => parse('a/b', 'hash')),
      'REFERENCE_INVALID',
    ),
  );
  t.true(
    hasCode(
      t.throws(() => parse('a/b', 'url')),
      'REFERENCE_INVALID',
    ),
  );
  t.true(
    hasCode(
      t.throws(() => parse('./a', 'name')),
      'REFERENCE_INVALID',
    ),
  );
  t.true(
    hasCode(
      t.throws(() => parse('', 'path')),
      'REFERENCE_INVALID',
    ),
  );
});

test('an ID is checked for its digits and their number', (t) => {
  t.true(
    hasCode(
      t.throws(() => parse('sha512-xyz')),
      'REFERENCE_INVALID',
    ),
  );
  t.true(
    hasCode(
      t.throws(() => parse(`sha512-${hex}0`)),
      'REFERENCE_INVALID',
    ),
  );
  t.true(
    hasCode(
      t.throws(() => parse('sha512-a')),
      'ID_TOO_SHORT',
    ),
  );
  t.true(
    hasCode(
      t.throws(() => parse('sha512-')),
      'ID_TOO_SHORT',
    ),
  );
});

test('another scheme is refused, and the four supported ones are listed; a missing slash is pointed out', (t) => {
  const ftp = t.throws(() => parse('ftp://user:secret@x.org/a?token=1'));
  t.true(hasCode(ftp, 'REFERENCE_INVALID') && ftp.details.input === 'ftp://x.org/a');
  t.regex(ftp.message, /http, https, docker or file/);
  for (const text of ['docker:busybox', 'http:x.org', 'file:/a'])
    t.regex(t.throws(() => parse(text)).message, /two slashes/);
});

test('a URL is requested without its fragment and with its query', (t) => {
  t.is(gist(parse('https://x.org/a b.aci?q=1&r#f')), 'url https://x.org/a%20b.aci?q=1&r');
  t.is(gist(parse('https://x.org/a#')), 'url https://x.org/a');
});

test('a URL with a user name or password, or a malformed one, is refused, and nothing secret is repeated', (t) => {
  for (const text of [
    'https://user:secret@x.org/a',
    'https://:secret@x.org/',
    'https://x.org:port/?secret',
    'https://',
    'https://x\n.org/secret#secret',
  ]) {
    const error = t.throws(() => parse(text), { instanceOf: ImageError, code: 'REFERENCE_INVALID' }, text);
    if (!text.includes('\n')) t.notRegex(JSON.stringify([error.message, error.details]), /secret/, text);
  }
  t.true(
    hasCode(
      t.throws(() => parse('https://user@x.org/a')),
      'REFERENCE_INVALID',
    ),
  );
});

test('only the decoded path of a file URL is used', (t) => {
  t.is(gist(parse('file:///d/a%20b%3F.aci?q#f')), 'file /d/a b?.aci');
  t.is(gist(parse('file://localhost/d/a')), 'file /d/a');
  t.is(gist(parse('FILE:///d/../a')), 'file /a');
  for (const text of [
    'file://host/a',
    'file://relative.aci',
    'file:///a%2Fb',
    'file:///a%00',
    'file:///a%ff%',
    'file://u:p@localhost/a',
  ]) {
    t.true(
      hasCode(
        t.throws(() => parse(text)),
        'REFERENCE_INVALID',
      ),
      text,
    );
  }
});

test('texts that are no reference are refused', (t) => {
  for (const text of ['', ' ', 'a\0.aci', './\0', 'Upper/Case', 'a,b', '\x1b[2J']) {
    const error = t.throws(() => parse(text), undefined, JSON.stringify(text));
    t.true(hasCode(error, 'REFERENCE_INVALID'), JSON.stringify(text));
  }
});

test('equal keys mean equal requests', (t) => {
  const same: readonly (readonly [string, string])[] = [
    ['a/b:1,os=linux', 'a/b,os=linux,version=1'],
    ['a/b:', 'a/b'],
    ['https://X.org/a#f', 'https://x.org/a'],
    ['./x/../y.aci', 'file:///work/dir/y.aci'],
    ['docker://busybox', 'docker://index.docker.io/library/busybox:latest'],
    ['sha512-AB', 'sha512-ab'],
  ];
  for (const [a, b] of same) t.is(referenceKey(parse(a)), referenceKey(parse(b)), a);
  const keys = [
    'a/b',
    'a/b:1',
    'https://x.org/a',
    'https://x.org/a?',
    'https://x.org/A',
    './a/b',
    'docker://a/b',
    'docker://a/b:1',
  ].map((text) => referenceKey(parse(text)));
  t.is(new Set(keys).size, keys.length);
});

test('a label value that looks like two labels is distinguished from two labels', (t) => {
  const name = (labels: readonly (readonly [string, string])[]) =>
    referenceKey({ kind: 'name', text: '', name: 'a', labels: new Map(labels) });
  t.not(name([['a', '1,b=2']]), name([['a', '1'], ['b', '2']])); // prettier-ignore
});

test('a formatted reference parses to the same reference', (t) => {
  const texts = [
    'sha512-abc',
    '/a/b',
    'https://x.org/a?b=c',
    'a/b:1,x=y',
    'docker://localhost:5000/a:b',
    `docker://a@sha256:${hex.slice(0, 64)}`,
  ];
  for (const text of texts) {
    const reference = parse(text);
    t.is(referenceKey(parse(formatReference(reference))), referenceKey(reference), text);
  }
});

test('a whole digest is an ID, a part of one is a name', (t) => {
  const digest = `sha256:${'ab'.repeat(32)}`;
  t.like(parse(digest), { kind: 'id', prefix: digest });
  t.is(formatReference(parse(digest)), digest);
  t.is(parse(digest.slice(0, -1)).kind, 'name');
});

test('any text parses or is refused as a reference', (t) => {
  fc.assert(
    fc.property(
      fc.string({
        unit: fc.constantFrom(
          'a',
          '0',
          '/',
          '.',
          ':',
          '@',
          ',',
          '=',
          '-',
          '%',
          '?',
          '#',
          ' ',
          '\n',
          'sha512-',
          'docker://',
          'http://',
          'file://',
        ),
      }),
      (text) => {
        try {
          return parse(text).text === text;
        } catch (error) {
          return hasCode(error, 'REFERENCE_INVALID') || hasCode(error, 'ID_TOO_SHORT');
        }
      },
    ),
    { numRuns: 500 },
  );
  t.pass();
});

test('URLs that differ in a secret have different keys, which do not contain it', (t) => {
  const keys = ['http://h/a?sig=1', 'http://h/a?sig=2', 'http://h/a'].map((text) => referenceKey(parse(text)));
  t.is(new Set(keys).size, 3);
  for (const key of keys) t.notRegex(key, /sig/);
});

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

test('a name is parsed with its version and labels, whose values are kept as written', (t) => {
  for (const [id, text, name, labels] of good) {
    const parsed = parseAppString(text);
    t.deepEqual({ name: parsed.name, labels: Object.fromEntries(parsed.labels) }, { name, labels }, id);
  }
});

test('a malformed name is refused, and the message says why', (t) => {
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

test('any text parses to a valid name or is refused as a reference', (t) => {
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
