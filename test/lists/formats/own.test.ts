import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';
import { parse } from 'yaml';
import * as z from 'zod';

import { readFiles, readText } from '../../helpers/read-lists.ts';

const good = `schema: longshore.list/1
defaults:
  platforms: [linux/amd64]
  keep: oci
images:
  - docker://alpine:3.20
  - reference: ./app.aci
    signature: sigs/app.asc
  - reference: example.com/app:1.0
    platforms: linux/arm64
    keep: both
  - repository: quay.io/org/app
    tags:
      include: ["v\\\\d+.*", stable]
      exclude: .*-rc.*
      semver: '>=1.2 <3'
      newest: 5
  - repository: docker://localhost:5000/all
`;

test('references and repositories of our own list, with defaults', async (t) => {
  const { entries, errors, directory } = await readFiles(t, { 'list.yaml': good });
  t.deepEqual(errors, []);
  const common = { platforms: ['linux/amd64'], keep: 'oci' };
  t.deepEqual(
    entries.map(({ place: _, ...entry }) => entry) as unknown[],
    [
      { text: 'docker://alpine:3.20', ...common },
      { text: './app.aci', ...common, signature: join(directory, 'sigs/app.asc') },
      { text: 'example.com/app:1.0', platforms: ['linux/arm64'], keep: 'both' },
    ]
      .map(({ text, ...wishes }): object => ({ kind: 'image', text, image: text, type: 'guess', directory, ...wishes }))
      .concat(
        {
          kind: 'tags',
          repository: 'docker://quay.io/org/app',
          selection: {
            match: 'whole',
            include: ['v\\d+.*', 'stable'],
            exclude: ['.*-rc.*'],
            semver: '>=1.2 <3',
            newest: 5,
          },
          ...common,
        },
        { kind: 'tags', repository: 'docker://localhost:5000/all', selection: {}, ...common },
      ),
  );
});

const bad: Readonly<Record<string, RegExp>> = {
  'schema: longshore.list/2\nimages: []': /the schema of a list is longshore\.list\/1/,
  'schema: longshore.list/1': /images has to be a list/,
  'schema: longshore.list/1\nimages: {}': /images has to be a list/,
  'schema: longshore.list/1\nimage: []\nimages: []': /"image" is not known here; there are schema/,
  'schema: longshore.list/1\ndefaults: {signature: a}\nimages: []': /"signature" is not known here/,
  'schema: longshore.list/1\ndefaults: {keep: all}\nimages: []': /keep is aci, oci, both, not "all"/,
  'schema: longshore.list/1\nimages: [[a]]': /an image is a reference, or a map/,
  'schema: longshore.list/1\nimages: [{signature: a}]': /either a reference or a repository/,
  'schema: longshore.list/1\nimages: [{reference: a, repository: b}]': /either a reference or a repository/,
  'schema: longshore.list/1\nimages: [{reference: a, tags: {}}]': /tags are chosen of a repository/,
  'schema: longshore.list/1\nimages: [{reference: a, signature: "https://b"}]': /a local file, not a URL/,
  'schema: longshore.list/1\nimages: [{repository: "a:1"}]': /to be a repository, without a tag/,
  'schema: longshore.list/1\nimages: [{repository: a, tags: {include: "("}}]': /"\(" is no pattern/,
  'schema: longshore.list/1\nimages: [{repository: a, tags: {semver: new}}]': /"new" is no range of versions/,
  'schema: longshore.list/1\nimages: [{repository: a, tags: {newest: 0}}]': /newest is a whole number from 1/,
  'schema: longshore.list/1\nimages: [{reference: a, platforms: [arm]}]': /platform/,
  'schema: longshore.list/1\nimages: [{repository: a, tags: {semver: [">=1"]}}]': /semver has to be a text/,
  'schema: longshore.list/1\nimages: [{repository: a, tags: {newest: [3]}}]': /newest has to be a text/,
  'schema: longshore.list/1\nimages: [{repository: a, tags: {semver: }}]': /semver has no value/,
  'schema: longshore.list/1\nimages: [{repository: a, tags: }]': /tags has no value/,
  'schema: longshore.list/1\nimages: [{repository: a, tags: {include: []}}]': /include has no pattern/,
  'schema: longshore.list/1\nimages: [{reference: a, signature: [b]}]': /signature has to be a text/,
  [`schema: longshore.list/1\nimages: [{reference: a, platforms: [${'linux/arm64, '.repeat(64)} linux/amd64]}]`]:
    /more than 64 platforms/,
  'schema: longshore.list/1\ndefaults: {keep: [oci]}\nimages: []': /keep has to be a text/,
};

test('what is wrong in our own list is named', async (t) => {
  for (const [text, message] of Object.entries(bad)) {
    const { errors } = await readText(text);
    t.is(errors.length, 1, `${text}: ${errors.join('; ')}`);
    t.regex(errors[0] ?? '', message);
  }
});

test('the JSON Schema in the package takes what is good, and refuses what it can tell', async (t) => {
  const text = await readFile(new URL('../../../schemas/list-1.json', import.meta.url), 'utf8');
  const schema = z.fromJSONSchema(JSON.parse(text) as Parameters<typeof z.fromJSONSchema>[0]);
  t.true(schema.safeParse(parse(good)).success, JSON.stringify(schema.safeParse(parse(good)).error));
  const beyond = /without a tag|is no pattern|no range|not a URL|^platform/; // what a schema cannot tell
  for (const [text, message] of Object.entries(bad)) {
    if (!beyond.test(message.source.replaceAll('\\', ''))) t.false(schema.safeParse(parse(text)).success, text);
  }
});

test('what failed or was cancelled in an earlier run is asked for again', async (t) => {
  const images = [
    { reference: 'docker://a:1', status: 'fetched' },
    { reference: 'docker://b:1', status: 'failed', error: { code: 'HTTP_STATUS' } },
    { reference: './c.aci', status: 'cancelled' },
    { reference: 'docker://d:1', status: 'present' },
  ];
  for (const schema of ['longshore.fetch/1', 'longshore.push/1']) {
    const nodes = [{ reference: 'example.com/dependency', status: 'failed' }];
    const { entries, errors } = await readText(JSON.stringify({ schema, images, nodes, totals: {} }));
    t.deepEqual(errors, []);
    t.deepEqual(
      entries.map((entry) => entry.kind === 'image' && [entry.image, entry.type, entry.directory]),
      [
        ['docker://b:1', 'guess', process.cwd()],
        ['./c.aci', 'guess', process.cwd()],
      ],
    );
  }
});

test('what list printed is a list again', async (t) => {
  const references = [
    { reference: 'docker://a:1', platforms: ['linux/arm64'], keep: 'aci', places: [] },
    { reference: '/b.aci', signature: '/b.asc', places: [] },
    { repository: 'docker://quay.io/c', tags: { include: ['a'], match: 'part', newest: 2 }, places: [] },
  ];
  const { entries, errors } = await readText(
    JSON.stringify({ schema: 'longshore.references/1', references, notes: [] }),
  );
  t.deepEqual(errors, []);
  t.like(entries[0], { image: 'docker://a:1', platforms: ['linux/arm64'], keep: 'aci' });
  t.like(entries[1], { image: '/b.aci', signature: '/b.asc' });
  t.like(entries[2], { repository: 'docker://quay.io/c', selection: { include: ['a'], match: 'part', newest: 2 } });
});

test('the references of a lock file', async (t) => {
  const lock = { 'docker://a:1': { digest: `sha256:${'a'.repeat(64)}` }, 'example.com/b': {} };
  for (const schema of ['longshore.lock/1', 'longshore.lock/2']) {
    const { images, errors, notes } = await readText(JSON.stringify({ schema, images: lock }));
    t.deepEqual(errors, []);
    t.deepEqual(images, ['docker://a:1', 'example.com/b']);
    t.is(notes.length, 1);
  }
});

test('a lock file names each reference with its platforms, and no pinned dependency', async (t) => {
  const digest = `sha256:${'a'.repeat(64)}`;
  const imageID = `sha512-${'b'.repeat(128)}`;
  const locks = [
    {
      schema: 'longshore.lock/1',
      images: {
        'docker://a:1#linux/amd64': { digest },
        'docker://a:1#linux/arm64': { digest },
        'docker://b:1#all': { digest },
        'example.com/c,version=1': { imageID },
        [`example.com/d@${imageID}`]: { imageID },
        'https://example.com/e.aci': { imageID },
      },
    },
    {
      schema: 'longshore.lock/2',
      images: {
        'docker://a:1': { digest, platforms: { 'linux/amd64': digest, 'linux/arm64': digest } },
        'docker://b:1': { digest, platforms: { all: digest } },
        'example.com/c,version=1': { imageID },
        [`example.com/d@${imageID}`]: { imageID },
        'https://example.com/e.aci': { imageID },
      },
    },
  ];
  for (const lock of locks) {
    const { entries, errors } = await readText(JSON.stringify(lock));
    t.deepEqual(errors, []);
    t.deepEqual(
      entries.map((entry) => [entry.kind === 'image' && entry.image, entry.platforms]),
      [
        ['docker://a:1', ['linux/amd64', 'linux/arm64']],
        ['docker://b:1', ['all']],
        ['example.com/c,version=1', undefined],
        ['https://example.com/e.aci', undefined],
      ],
    );
  }
  const both = { 'docker://a:1': { platforms: { all: digest, 'linux/amd64': digest } } };
  const { entries } = await readText(JSON.stringify({ schema: 'longshore.lock/2', images: both }));
  t.deepEqual(
    entries.map(({ platforms }) => platforms),
    [['all'], ['linux/amd64']],
  );
  const bad = { 'docker://a:1': { platforms: { nonsense: digest } } };
  t.regex(
    (await readText(JSON.stringify({ schema: 'longshore.lock/2', images: bad }))).errors.join(),
    /"nonsense" is no platform/,
  );
});
