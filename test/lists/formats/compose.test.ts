import { symlink } from 'node:fs/promises';
import { join } from 'node:path';

import test from 'ava';

import { hasCode } from '../../../src/errors.ts';
import { readAt, readFiles, readText } from '../../helpers/read-lists.ts';

test('the images of services, with variables, platforms and merge keys; what only builds is named', async (t) => {
  const { images, entries, errors, notes } = await readFiles(
    t,
    {
      'compose.yaml': `name: shop
x-base: &base
  image: redis:\${REDIS_TAG:-7}
services:
  cache:
    <<: *base
    restart: always
  web:
    image: \${REGISTRY-quay.io}/shop/web:\${TAG:?which one}
    platform: linux/\${ARCH:-arm64}
    build: ./web
  tool:
    build: .
  job:
    image: "job\${SUFFIX:+-\${SUFFIX}}:1"
    profiles: [batch]
  data:
    image: data
    volumes:
      - type: image
        source: model:2
        target: /model
      - ./here:/there
  model:
    provider: {type: model}
  local:
    image: local
    pull_policy: build
`,
      '.env': 'TAG="9" # the newest\nSUFFIX=env\n',
    },
    { SUFFIX: 'shell' },
  );
  t.deepEqual(errors, []);
  t.deepEqual(images, [
    'docker://redis:7',
    'docker://quay.io/shop/web:9',
    'docker://job-shell:1',
    'docker://model:2',
    'docker://data',
  ]);
  t.deepEqual(
    entries.map(({ platforms }) => platforms),
    [undefined, ['linux/arm64'], undefined, undefined, undefined],
  );
  t.deepEqual(
    notes.map((note) => /service .*/.exec(note)?.[0]),
    [
      'service tool is skipped: it only builds, and names no image',
      'service model is skipped: it has a provider, and names no image',
      'service local is skipped: it is not pulled (pull_policy: build)',
    ],
  );
});

test('files that are included, each with the variables beside it, and files that are extended', async (t) => {
  const { images, errors, notes } = await readFiles(t, {
    'compose.yaml': `include:
  - db/compose.yaml
  - path: [mail/a.yaml, mail/b.yaml]
    project_directory: .
    env_file: [mail/first.env, mail/second.env]
  - oci://docker.io/shop/compose
services:
  web:
    extends: {file: base.yaml, service: app}
  other:
    extends: web
    image: other
`,
    '.env': 'A=top\n',
    'base.yaml': 'services: {app: {extends: root}, root: {image: "base:${A}", platform: linux/arm64}}',
    'db/compose.yaml': 'services: {db: {image: "db:${B}-${A}"}}',
    'db/.env': 'B=own\nA=hidden\n',
    'mail/a.yaml': 'services: {a: {image: "a:${C}"}}',
    'mail/b.yaml': 'services: {b: {image: "b:${D}"}}',
    'mail/first.env': 'C=1\nD=1\n',
    'mail/second.env': 'D=2\n',
  });
  t.deepEqual(errors, []);
  t.deepEqual(images, ['docker://db:own-top', 'docker://a:1', 'docker://b:2', 'docker://base:top', 'docker://other']);
  t.is(notes.length, 1);
  t.regex(notes[0] ?? '', /line 6, column 5: oci:\/\/docker\.io\/shop\/compose is not read/);
});

test('files that include each other are refused, also by way of links', async (t) => {
  const { errors, directory } = await readFiles(t, {
    'a.yaml': 'include: [b.yaml]\nservices: {a: {image: a}}\n',
    'b.yaml': 'include: [link.yaml]\nservices: {b: {image: b}}\n',
    'self.yaml': 'services: {a: {extends: b}, b: {extends: a}}\n',
  });
  t.is(errors.length, 1);
  t.regex(errors[0] ?? '', /b\.yaml, line 1, column 11: there is no file .*link\.yaml/);
  await symlink(join(directory, 'a.yaml'), join(directory, 'link.yaml'));
  const again = await readAt('a.yaml', directory);
  t.is(again.errors.length, 1);
  t.regex(again.errors[0] ?? '', /b\.yaml, line 1, column 11: .*link\.yaml includes itself/);
  const self = await readAt('self.yaml', directory);
  t.is(self.errors.length, 2);
  t.regex(self.errors[0] ?? '', /extend each other/);
});

test('a variable without a value is an error that names it, unless nothing depends on it', async (t) => {
  const { images, errors } = await readText(
    `services:
  a: {image: "\${UNSET}"}
  b: {image: "b:\${SET:-\${UNSET}}"}
  c: {image: "c:\${UNSET:?choose one, \${SET}}"}
  d: {image: "d:\${EMPTY:?}"}
  e: {image: "e:\${EMPTY-x}1\${UNSET+\${UNSET}}"}
  f: {image: "f$$x"}
  g: {image: "\${UNSET/a/b}"}
  h: {image: "h:\${UNSET:-\${SET"}
  i: {image: "i:$SET"}
  j: {restart: always}
  k: {image: "k:\${:-x}"}
`,
    '',
    { SET: 'set', EMPTY: '' },
  );
  t.deepEqual(images, ['docker://b:set', 'docker://e:1', 'docker://i:set']);
  t.deepEqual(
    errors.map((message) => message.replace('standard input, ', '').replace(/, column \d+/, '')),
    [
      'line 2: ${UNSET} is not set, neither in the environment nor in .env, and has no default',
      'line 4: ${UNSET} is not set, neither in the environment nor in .env, and has no default: choose one, set',
      'line 5: ${EMPTY} is not set, neither in the environment nor in .env, and has no default',
      'line 7: "$x" is left open: a list has to have what it stands for',
      'line 8: "${UNSET/a/b}" cannot be read',
      'line 9: a } is missing',
      'line 11: service j has neither an image nor a build; of files that complete each other, "docker compose config" makes one',
      'line 12: "${:-x}" names no variable',
    ],
  );
});

test('files of one item of include are one: the last one counts, and an override needs no image', async (t) => {
  const { images, entries, errors, directory } = await readFiles(t, {
    'compose.yaml': 'include:\n  - path: [sub/a.yaml, over/b.yaml]\nservices: {top: {image: top}}\n',
    'sub/a.yaml': 'services: {db: {image: "db:1"}, web: {image: "web:1", platform: linux/arm64}}',
    'sub/.env': 'TAG=2',
    'over/b.yaml':
      'services: {db: {ports: ["1:1"]}, web: {image: "web:${TAG}"}, more: {extends: {file: c.yaml, service: c}}}',
    'sub/c.yaml': 'services: {c: {image: c}}',
  });
  t.deepEqual(errors, []);
  t.deepEqual(images, ['docker://db:1', 'docker://web:2', 'docker://c', 'docker://top']);
  t.deepEqual(entries[1]?.platforms, ['linux/arm64']);
  t.is(entries[1]?.place.list, join(directory, 'over/b.yaml'));
});

test('files that each include the next one twice come to an end', async (t) => {
  const files = Array.from(
    { length: 24 },
    (_, n) => [`${n}.yaml`, `include: [${n + 1}.yaml, ./${n + 1}.yaml]\n`] as const,
  );
  const error = await t.throwsAsync(
    readFiles(t, { ...Object.fromEntries<string>(files), '24.yaml': 'services: {}\n' }),
  );
  t.true(hasCode(error, 'LIMIT_EXCEEDED'), error?.message);
});

test('a file that a thousand services extend is read once', async (t) => {
  const one = Array.from({ length: 20_000 }, (_, n) => `  x${n}: {image: x${n}}\n`).join('');
  const services = Array.from({ length: 1000 }, (_, n) => `  s${n}: {extends: {file: b.yaml, service: x1}}\n`).join('');
  const { images, errors } = await readFiles(t, {
    'a.yaml': `services:\n${services}`,
    'b.yaml': `services:\n${one}`,
  });
  t.deepEqual([errors, images.length], [[], 1000]);
});
