import test from 'ava';
import fc from 'fast-check';

import { hasCode, type ImageError } from '../../src/errors.ts';
import { parseManifest } from '../../src/image/manifest.ts';

const base = { acKind: 'ImageManifest', acVersion: '0.7.4', name: 'example.com/app' };
const document = JSON.stringify(base);

const parse = (text: string) => parseManifest(Buffer.from(text));
const parseWith = (members: object) => parse(JSON.stringify({ ...base, ...members })).manifest;

function refuse(text: string): ImageError<'MANIFEST_INVALID'> {
  try {
    parse(text);
  } catch (error) {
    if (hasCode(error, 'MANIFEST_INVALID')) return error;
    throw error;
  }
  throw new Error(`taken: ${text}`);
}

test('a manifest is returned with the text of its document', (t) => {
  const text = ` \n${document}\n`; // J45
  t.deepEqual(parse(text), {
    manifest: { acVersion: '0.7.4', name: 'example.com/app', labels: new Map(), dependencies: [], pathWhitelist: [] },
    text,
  });
});

test('labels, dependencies and the whitelist are read', (t) => {
  const imageID = `sha512-${'ab'.repeat(64)}`;
  const manifest = parseWith({
    labels: [{ name: 'os', value: 'linux' }, { name: 'arch', value: 'amd64' }, { name: 'a' }],
    dependencies: [
      { imageName: 'a.com/b', imageID, labels: [{ name: 'version', value: '1' }], size: 10 }, // J38
      { imageName: 'a.com/b' }, // Y1
      { imageName: 'a.com/b', imageID: null, labels: null, size: 0 }, // J62
      { imageName: 'a.com/b', labels: [{ name: 'version' }, { name: 'os', value: 'linux' }] }, // as `a.com/b:` in a reference
    ],
    pathWhitelist: ['/etc/a', 'relative', ''], // J41
  });
  t.deepEqual([...manifest.labels], [['os', 'linux'], ['arch', 'amd64'], ['a', '']]); // prettier-ignore
  t.deepEqual(manifest.dependencies, [
    { imageName: 'a.com/b', imageId: imageID, labels: new Map([['version', '1']]), size: 10 },
    { imageName: 'a.com/b', labels: new Map() },
    { imageName: 'a.com/b', labels: new Map() },
    { imageName: 'a.com/b', labels: new Map([['os', 'linux']]) },
  ]);
  t.deepEqual(manifest.pathWhitelist, ['/etc/a', 'relative', '']);
});

test('unknown members, null and empty lists are accepted', (t) => {
  t.notThrows(() => parseWith({ unknown: { x: 1.5 } })); // J11
  t.notThrows(() => parseWith({ labels: null, app: null, annotations: null, dependencies: null, pathWhitelist: null })); // J13, J15
  t.notThrows(() => parseWith({ labels: [], annotations: [], dependencies: [], pathWhitelist: [null] }));
  t.notThrows(() => parseWith({ acVersion: '9.9.9' })); // J8
  t.notThrows(() => parse(`{"__proto__":{"name":1},${document.slice(1)}`));
});

test('known keys match in any case, at every level', (t) => {
  const { manifest } = parse(
    '{"ACKIND":"ImageManifest","acversion":"0.7.4","Name":"a","LABELS":[{"NAME":"os","Value":"linux"}],"Dependencies":[{"imagename":"b"}]}',
  );
  t.deepEqual([manifest.name, manifest.labels.get('os'), manifest.dependencies[0]?.imageName], ['a', 'linux', 'b']);
  t.is(refuse(`{"LABELS":[{"name":"name"}],${document.slice(1)}`).details.field, 'labels[0].name');
  t.is(
    refuse(`{"APP":{"USER":"0","Group":"0","Ports":[{"name":"a","PORT":0}]},${document.slice(1)}`).details.field,
    'app.ports[0].port',
  );
});

test('syntax errors are reported with line and column', (t) => {
  const trailing = refuse(`${document} trailing`); // J12
  t.deepEqual(trailing.details, { line: 1, column: 73 });
  t.regex(trailing.message, /line 1, column 73/);
  t.deepEqual(refuse('').details, { line: 1, column: 0 }); // J43
  t.deepEqual(refuse(`\ufeff${document}`).details, { line: 1, column: 1 });
  t.regex(refuse(`{"name":"a",${document.slice(1)}`).message, /"name" is there twice/);
  t.regex(t.throws(() => parseManifest(Buffer.from([0x80]))).message, /UTF-8/);
});

/** id, document, the field at fault, what the message says. */
const bad: readonly (readonly [string, unknown, string | undefined, RegExp])[] = [
  ['J2', {}, 'acKind', /acKind is missing; acVersion is missing; name is missing/],
  ['J3', { acKind: 'ImageManifest' }, 'acVersion', /is missing/],
  ['J4', { acKind: 'ImageManifest', acVersion: '0.7.4' }, 'name', /is missing/],
  ['J5', { ...base, acKind: 'PodManifest' }, 'acKind', /must be ImageManifest/],
  ['J6', { ...base, acKind: 'Foo' }, 'acKind', /must be ImageManifest/],
  ['J7', { ...base, acVersion: '1' }, 'acVersion', /not a version/],
  ['V5', { ...base, acVersion: '0.0.0' }, 'acVersion', /zero/],
  ['V10', { ...base, acVersion: null }, 'acVersion', /must be a string/],
  ['J9', { ...base, name: 'A' }, 'name', /may hold only/],
  ['name null', { ...base, name: null }, 'name', /must be a string/],
  ['A13', { ...base, name: 'example.com/../x' }, 'name', /path part/],
  ['J10', { ...base, name: 5 }, 'name', /must be a string/],
  [
    'J14',
    {
      ...base,
      labels: [
        { name: 'os', value: 'linux' },
        { name: 'arch', value: 'mips' },
      ],
    },
    'labels[1].value',
    /amd64/,
  ],
  ['L15', { ...base, labels: [{ name: 'name' }] }, 'labels[0].name', /reserved/],
  ['L16', { ...base, labels: [{ name: 'a' }, { name: 'a' }] }, 'labels[1].name', /twice/],
  ['L18', { ...base, labels: [{ name: 'a', value: 1 }] }, 'labels[0].value', /must be a string/],
  ['no label name', { ...base, labels: [{ value: 'a' }] }, 'labels[0].name', /is missing/],
  ['null label', { ...base, labels: [null] }, 'labels[0]', /must be an object/],
  ['J34', { ...base, annotations: [{ name: 'created', value: 'garbage' }] }, 'annotations[0].value', /RFC 3339/],
  ['J35', { ...base, annotations: [{ name: 'homepage', value: 'ftp://x' }] }, 'annotations[0].value', /http or https/],
  [
    'documentation',
    { ...base, annotations: [{ name: 'documentation', value: '' }] },
    'annotations[0].value',
    /http or https/,
  ],
  [
    'J36',
    {
      ...base,
      annotations: [
        { name: 'a', value: '' },
        { name: 'a', value: '' },
      ],
    },
    'annotations[1].name',
    /twice/,
  ],
  ['J37', { ...base, annotations: [{ name: 'Bad Name', value: '' }] }, 'annotations[0].name', /may hold only/],
  ['J39', { ...base, dependencies: [{ imageName: 'a', imageID: 'md5-abc' }] }, 'dependencies[0].imageID', /sha512/],
  ['J40', { ...base, dependencies: [{ app: 'a.com/b' }] }, 'dependencies[0].imageName', /is missing/],
  ['J42', { ...base, pathWhitelist: 'x' }, 'pathWhitelist', /must be a list/],
  ['J44', [], undefined, /the document must be an object/],
  ['J46', { ...base, acKind: '' }, 'acKind', /must be ImageManifest/],
  ['J47', '', undefined, /the document must be an object/],
  ['null', null, undefined, /the document must be an object/],
  ['J48', { ...base, labels: {} }, 'labels', /must be a list/],
  ['J63', { ...base, pathWhitelist: [1] }, 'pathWhitelist[0]', /must be a string/],
  ['Y2', { ...base, dependencies: [{ imageName: '' }] }, 'dependencies[0].imageName', /empty/],
  ['Y3', { ...base, dependencies: [{ imageName: 'a', imageID: '' }] }, 'dependencies[0].imageID', /sha512/],
  ['Y4', { ...base, dependencies: [{ imageName: 'a', size: -1 }] }, 'dependencies[0].size', /negative/],
  [
    'Y5',
    { ...base, dependencies: [{ imageName: 'a', size: '10' }] },
    'dependencies[0].size',
    /must be an integer|must be a number/,
  ],
  [
    'os of a dependency',
    { ...base, dependencies: [{ imageName: 'a', labels: [{ name: 'os', value: 'x' }] }] },
    'dependencies[0].labels[0].value',
    /linux/,
  ],
];

test('a bad manifest is refused, and the field and the fault are named', (t) => {
  for (const [id, value, field, message] of bad) {
    const error = refuse(JSON.stringify(value));
    t.is(error.details.field, field, id);
    t.regex(error.message, message, id);
  }
});

test('several faults share one line, without end or control characters', (t) => {
  const labels = Array.from({ length: 8 }, () => ({ name: 'A' }));
  const error = refuse(JSON.stringify({ ...base, labels, dependencies: [{ imageName: '\x1b[2J' }] }));
  t.regex(error.message, /labels\[0\].name .*; and \d+ faults more$/);
  t.notRegex(error.message, /\p{Cc}/u);
});

test('a number with a fraction or an exponent is no integer, whatever its value', (t) => {
  for (const size of ['10.0', '1e1', '10.5', '1E+1']) {
    const error = refuse(`{"dependencies":[{"imageName":"a","size":${size}}],${document.slice(1)}`);
    t.is(error.details.field, 'dependencies[0].size', size);
  }
  t.is(
    refuse(`{"dependencies":[{"imageName":"a","size":9007199254740993}],${document.slice(1)}`).details.field,
    'dependencies[0].size',
  );
});

const value = fc.oneof(fc.jsonValue({ maxDepth: 3 }), fc.constantFrom(1.5, -3, 80, 1e30, '/a', 'tcp', 'example.com/b'));
const members = (() => {
  const keys = fc.constantFrom('name', 'value', 'path', 'port', 'count', 'imageName', 'labels', 'size', 'protocol');
  const list = fc.array(fc.dictionary(keys, value), { maxLength: 3 });
  const appKeys = fc.constantFrom('user', 'group', 'exec', 'ports', 'environment', 'isolators', 'userLabels');
  const app = fc.dictionary(appKeys, fc.oneof(value, list));
  const memberKeys = fc.constantFrom('labels', 'annotations', 'dependencies', 'app', 'pathWhitelist', 'NAME');
  return fc.dictionary(memberKeys, fc.oneof(value, list, app));
})();

test('a document with any members is accepted or refused as a manifest, and alike if a key has another case', (t) => {
  const judged = (text: string): unknown => {
    try {
      const { manifest } = parse(text);
      t.is(manifest.name, base.name);
      return manifest;
    } catch (error) {
      if (!hasCode(error, 'MANIFEST_INVALID')) throw error;
      t.notRegex(error.message, /\p{Cc}/u);
      return [error.message, error.details];
    }
  };
  fc.assert(
    fc.property(members, (members) => {
      const text = JSON.stringify({ ...base, ...members });
      t.deepEqual(judged(text), judged(text.replace('acKind', 'ACKIND')));
    }),
    { numRuns: 1_000 },
  );
});
