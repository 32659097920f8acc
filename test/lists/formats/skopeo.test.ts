import test from 'ava';

import { readText } from '../../helpers/read-lists.ts';

const digest = `sha256:${'0'.repeat(64)}`;

test('tags, digests, whole repositories, patterns and ranges of versions', async (t) => {
  const { images, tags, errors, notes } = await readText(`
registry.example.com:
    images:
        busybox: []
        redis:
            - "1.0"
            - 2.0
            - ${digest}
        memcached:
    images-by-tag-regex:
        nginx: ^1\\.13\\.[12]-alpine-perl$
    images-by-semver:
        alpine: ">= 3.12.0"
docker.io:
    images:
        alpine: [edge]
`);
  t.deepEqual([errors, notes], [[], []]);
  t.deepEqual(images, [
    'docker://registry.example.com/redis:1.0',
    'docker://registry.example.com/redis:2.0',
    `docker://registry.example.com/redis@${digest}`,
    'docker://docker.io/alpine:edge',
  ]);
  t.deepEqual(tags, [
    ['docker://registry.example.com/busybox', {}],
    ['docker://registry.example.com/memcached', {}],
    ['docker://registry.example.com/nginx', { include: ['^1\\.13\\.[12]-alpine-perl$'], match: 'part' }],
    ['docker://registry.example.com/alpine', { semver: '>= 3.12.0' }],
  ]);
});

test('what it says of a registry holds for that one; what is not done is said', async (t) => {
  const { registries, notes } = await readText(`
registry.example.com:
    images: {a: ["1"]}
    credentials:
        username: john
        password: this is a secret
    cert-dir: /home/john/certs
    colour: blue
quay.io:
    tls-verify: false
    images: {coreos/etcd: [latest]}
`);
  t.deepEqual(
    registries.map(({ place: _, ...wish }) => wish),
    [
      { host: 'registry.example.com', credentials: { user: 'john', password: 'this is a secret' } },
      { host: 'quay.io', insecure: 'tls' },
    ],
  );
  t.is(notes.length, 2);
  t.regex(
    notes[0] ?? '',
    /^standard input, line 7, column 15: cert-dir is not read: put the certificates into .*registry\.example\.com/,
  );
  t.regex(notes[1] ?? '', /"colour" of registry\.example\.com is not known, and not used/);
});

test('what is no map of repositories is reported, since nothing of it would be taken', async (t) => {
  const { errors } = await readText('quay.io:\n  images: [a]\n  images-by-tag-regex: b\n  images-by-semver: [c]\n');
  t.deepEqual(
    errors.map((message) => /line \d+, column \d+: (.*)/.exec(message)?.[1]),
    ['images', 'images-by-tag-regex', 'images-by-semver'].map((key) => `${key} has to be a map`),
  );
});

test('all that is wrong is named, without the password', async (t) => {
  const { errors } = await readText(
    `quay.io:
  images:
    a: x
    b: [[c]]
    c: ["not a tag"]
  images-by-tag-regex: {d: [e]}
  credentials: {username: {}, password: secret}
docker.io: 1
`,
    'skopeo',
  );
  t.deepEqual(
    errors.map((message) => /line (\d+)/.exec(message)?.[1]),
    ['3', '4', '5', '6', '7', '8'],
  );
  t.notRegex(errors.join(), /secret/);
});
