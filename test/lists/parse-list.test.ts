import test from 'ava';
import fc from 'fast-check';

import { hasCode } from '../../src/errors.ts';
import { listInvalid } from '../../src/lists/list.ts';
import { isStructured, parseLines } from '../../src/lists/parse-list.ts';

const context = { directory: '/lists', shown: 'images.txt', areOfRegistries: false };

/** The entries with what a line says of them, and the errors. */
function parse(text: string) {
  const { entries, problems } = parseLines({ ...context, text });
  return {
    entries: entries.map((entry) => {
      if (entry.kind !== 'image') throw new Error('a line is one image');
      const { text, image, type, signature, directory, place } = entry;
      if (image !== text || type !== 'guess' || directory !== '/lists' || place.list !== 'images.txt')
        throw new Error(text);
      return { text, line: place.line, ...(signature !== undefined && { signature }) };
    }),
    errors: problems.map(listInvalid),
  };
}

test('each line of a list has a reference, optionally with a signature', (t) => {
  const { entries, errors } = parse(
    'example.com/app:1,os=linux\n./a.aci signature=sigs/a.asc\n\thttps://x.org/b.aci \t signature=/s.asc  \n',
  );
  t.deepEqual(errors, []);
  t.deepEqual(entries, [
    { text: 'example.com/app:1,os=linux', line: 1 },
    { text: './a.aci', line: 2, signature: '/lists/sigs/a.asc' },
    { text: 'https://x.org/b.aci', line: 3, signature: '/s.asc' },
  ]);
});

test('a # begins a comment at the start and after white space, not in a URL', (t) => {
  const { entries } = parse('# all\n  # indented\na # why\n\nhttps://x.org/b#c\nd\t#e # f\ng signature=h#i #j');
  t.deepEqual(entries, [
    { text: 'a', line: 3 },
    { text: 'https://x.org/b#c', line: 5 },
    { text: 'd', line: 6 },
    { text: 'g', line: 7, signature: '/lists/h#i' },
  ]);
});

test('CRLF and a byte order mark are accepted', (t) => {
  const { entries, errors } = parse('\ufeffa\r\n\r\nb signature=c\r\n');
  t.deepEqual(errors, []);
  t.deepEqual(entries, [
    { text: 'a', line: 1 },
    { text: 'b', line: 3, signature: '/lists/c' },
  ]);
});

test('every bad line is reported with its number, and the other lines are used', (t) => {
  const { entries, errors } = parse(
    'good\na b\n\x1b[2J\na signature=\nsignature=x\na signature=x signature=y\na\rb\n\ufeffa\n"a\0"\nalso',
  );
  t.deepEqual(
    entries.map(({ text }) => text),
    ['good', 'also'],
  );
  t.deepEqual(
    errors.map(({ details }) => details.line),
    [2, 3, 4, 5, 6, 7, 8, 9],
  );
  for (const error of errors) {
    t.true(hasCode(error, 'LIST_INVALID'));
    t.regex(error.message, /^images\.txt, line \d: /);
    t.notRegex(error.message, /\p{Cc}/u);
  }
});

test('an empty list is valid', (t) => {
  for (const text of ['', '\n', '# nothing', '\ufeff']) t.deepEqual(parse(text), { entries: [], errors: [] });
});

test('a very long line is a bad line, found quickly', (t) => {
  const { entries, errors } = parse(`${' '.repeat(1 << 20)}a\nb\n${`a ${' '.repeat(60_000)}b`}`);
  t.deepEqual([entries.length, errors.length], [1, 2]);
});

test('a file that is not a list is refused after a thousand bad lines', (t) => {
  const error = t.throws(() => parse('{ "a": 1 }\n'.repeat(2000)));
  t.true(hasCode(error, 'LIST_INVALID'));
  t.regex(error.message, /is not a list/);
});

test('every line becomes an entry, an error or nothing', (t) => {
  const line = fc.string({ unit: fc.constantFrom(...'a#= \t\r/', 'signature=', '\ufeff', '\x07') });
  fc.assert(
    fc.property(fc.array(line, { maxLength: 8 }), (lines) => {
      const { entries, errors } = parse(lines.join('\n'));
      const numbers = [...entries.map(({ line }) => line), ...errors.map(({ details }) => details.line)];
      return (
        new Set(numbers).size === numbers.length &&
        entries.every(({ text }) => /^\S+$/.test(text) && !text.startsWith('#'))
      );
    }),
  );
  t.pass();
});

test('a list of plain references of registries is taken as such, whatever they look like', (t) => {
  const text = 'alpine:3.20\n./text\nquay.io/org/app@sha256:x # why\ndocker://busybox\n';
  const { entries, problems } = parseLines({ ...context, text, areOfRegistries: true });
  t.deepEqual(
    entries.map((entry) => entry.kind === 'image' && [entry.image, entry.type, entry.text]),
    [
      ['docker://alpine:3.20', 'docker', 'alpine:3.20'],
      ['docker://busybox', 'docker', 'docker://busybox'],
    ],
  );
  t.deepEqual(
    problems.map(({ place }) => place.line),
    [2, 3],
  );
});

const lists = [
  'example.com/app\n',
  'example.com/app:\n',
  'app:\nexample.com/b:1,os=linux\n',
  'app:\nother:\n',
  '# key: value\n\napp: # in all versions\n  b\n',
  './a.aci signature=sigs/a.asc\n',
  '\ufeffdocker://alpine:3\r\n',
  '{a}.aci\n',
  '[1].aci\n',
  '-\u00a0x\n',
  'a:b: signature=c\n',
  'a\n  b: c\n',
  '',
  '# nothing\n',
];

const structured = [
  'apiVersion: v1\nkind: Pod\n',
  '# Source: chart\n---\na\n',
  '---\n',
  '%YAML 1.2\n---\na: b',
  'services:\n  web:\n    image: nginx\n',
  'quay.io:\n  images:\n    app:\n',
  'localhost:5000:\n  images:\n    app: []\n',
  '"quay.io": {images: {}}\n',
  '- a\n- b\n',
  '{"schema":"longshore.lock/1"}',
  '{\n',
  '[{"a":1}]',
  '{ apiVersion: v1 }',
  '\ufeffapiVersion: v1\r\nkind: Pod\r\n',
];

test('a list with one reference a line stays one, also where a line reads like a key', (t) => {
  for (const text of lists) t.false(isStructured(text), JSON.stringify(text));
});

test('YAML and JSON are told by what no line of such a list can be', (t) => {
  for (const text of structured) t.true(isStructured(text), JSON.stringify(text));
});

test('no list of names, paths and URLs without a bad line is taken for YAML', (t) => {
  const rest = fc.string({ unit: fc.constantFrom(...'ab:/.-{[,=', '://', '"') });
  const word = fc.tuple(fc.constantFrom('a', '/', './', 'https://'), rest).map((parts) => parts.join(''));
  const line = fc.tuple(fc.constantFrom('', ' ', '\t'), word, fc.constantFrom('', ' # a: b', ' signature=c'));
  fc.assert(
    fc.property(fc.array(line, { maxLength: 5 }), (lines) => {
      const text = lines.map((parts) => parts.join('')).join('\n');
      const { problems } = parseLines({ text, shown: 'list', directory: '/', areOfRegistries: false });
      fc.pre(problems.length === 0 && lines.some(([, word, more]) => !word.endsWith(':') || more.includes('=')));
      return !isStructured(text);
    }),
  );
  t.pass();
});

test('a line that would keep a pattern busy, or is very long, is told as fast as any other', (t) => {
  const spaces = ' '.repeat(1_000_000);
  for (const text of [
    `a${spaces}b\n`,
    `a${spaces}b:\n`,
    `"${spaces}b:\n`,
    'A'.repeat(20_000_000),
    'a:'.repeat(1_000_000),
  ]) {
    const before = process.threadCpuUsage();
    t.false(isStructured(text));
    t.true(process.threadCpuUsage(before).user < 5_000_000, text.slice(0, 5)); // microseconds of this thread alone
  }
  t.true(isStructured(`a${spaces}b: c\n`));
});
