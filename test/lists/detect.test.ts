import test from 'ava';
import fc from 'fast-check';

import { isStructured, typeOfDocument } from '../../src/lists/detect.ts';
import { readDocuments } from '../../src/lists/located.ts';
import { parseLines } from '../../src/lists/parse-list.ts';

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

const types: Readonly<Record<string, string | undefined>> = {
  'schema: longshore.list/1': 'list',
  '{"schema":"longshore.fetch/1"}': 'result',
  '{"schema":"longshore.push/1"}': 'result',
  '{"schema":"longshore.lock/1"}': 'lock',
  '{"schema":"longshore.lock/2"}': 'lock',
  '{apiVersion: apps/v1, kind: Deployment}': 'kubernetes',
  '{apiVersion: content.hauler.cattle.io/v1, kind: Images}': 'hauler',
  '{apiVersion: imgpkg.carvel.dev/v1alpha1, kind: ImagesLock}': 'imgpkg',
  '{apiVersion: mirror.openshift.io/v2alpha1, kind: ImageSetConfiguration}': 'oc-mirror',
  '{services: {}}': 'compose',
  '{include: [a.yaml]}': 'compose',
  '{version: 1, sync: []}': 'regsync',
  '{quay.io: {images: {a: []}}}': 'skopeo',
  '{quay.io: {images-by-tag-regex: {a: b}}, docker.io: {images-by-semver: {a: b}}}': 'skopeo',
  '{quay.io: {images: {a: []}}, other: 1}': undefined,
  '{apiVersion: v1}': undefined,
  '{name: chart, version: 1}': undefined,
  '[a, b]': undefined,
  '{}': undefined,
};

test('the type of a document is told by its content', (t) => {
  for (const [text, type] of Object.entries(types)) {
    const [root] = [...readDocuments(text, () => t.fail(text))];
    t.truthy(root);
    t.is(root && typeOfDocument(root), type as never, text);
  }
});
