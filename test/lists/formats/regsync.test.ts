import test from 'ava';

import { readText } from '../../helpers/read-lists.ts';

test('images and repositories, with what is allowed and denied; targets and times are not used, which is said once', async (t) => {
  const { images, tags, entries, errors, notes, registries } = await readText(`
x-sched: &sched "15 01 * * *"
version: 1
creds:
  - registry: localhost:5000
    tls: disabled
  - registry: quay.io
    user: robot
    pass: secret
    tls: insecure
  - registry: docker.io
    user: "{{env \\"HUB_USER\\"}}"
    pass: '{{file "/var/run/secrets/hub_token"}}'
defaults:
  ratelimit: {min: 100}
sync:
  - source: busybox:latest
    target: localhost:5000/library/busybox:latest
    type: image
    platform: linux/arm64
    schedule: *sched
  - source: alpine
    target: localhost:5000/library/alpine
    type: repository
    tags:
      allow: ["latest", "3\\\\.\\\\d+"]
      deny: ["3.0"]
  - source: quay.io/org/app
    type: repository
    tags: {semverRange: [">=1.2 <2", ">=4"]}
    platforms: [linux/amd64, linux/arm64]
  - source: quay.io/org/all
    type: repository
`);
  t.deepEqual(errors, []);
  t.deepEqual(images, ['docker://busybox:latest']);
  t.deepEqual(
    entries.map(({ platforms }) => platforms),
    [['linux/arm64'], undefined, ['linux/amd64', 'linux/arm64'], undefined],
  );
  t.deepEqual(tags, [
    ['docker://docker.io/library/alpine', { match: 'whole', include: ['latest', '3\\.\\d+'], exclude: ['3.0'] }],
    ['docker://quay.io/org/app', { semver: '>=1.2 <2 || >=4' }],
    ['docker://quay.io/org/all', {}],
  ]);
  t.deepEqual(
    registries.map(({ place: _, ...wish }) => wish),
    [
      { host: 'localhost:5000', insecure: 'http' },
      { host: 'quay.io', credentials: { user: 'robot', password: 'secret' } },
      { host: 'quay.io', insecure: 'tls' },
    ],
  );
  t.is(notes.length, 2);
  t.regex(notes[0] ?? '', /credentials of docker\.io are not used: they are templates/);
  t.regex(notes[1] ?? '', /not used: defaults\.ratelimit, target, schedule$/);
});

test('what cannot be taken is named: a whole registry, a template, a type that is not known, a bad pattern', async (t) => {
  const { images, errors } = await readText(`
sync:
  - {source: "localhost:5000", type: registry}
  - {source: "{{ .Source }}", type: image}
  - {source: a, type: chart}
  - {type: image}
  - {source: a, type: repository, tags: {allow: ["("]}}
  - {source: a, type: repository, tags: {semverRange: [new]}}
  - {source: "a:1", type: repository}
  - {source: a, type: image, platform: linux}
`);
  t.deepEqual(images, ['docker://a']);
  const lines = errors.map((message) => /line (\d+), column \d+: (.*)/.exec(message)?.slice(1));
  t.deepEqual(
    lines.map((found) => found?.[0]),
    ['3', '4', '5', '6', '9', '10', '7', '8'],
  );
  t.regex(lines[6]?.[1] ?? '', /"\(" is no pattern/);
  t.regex(lines[7]?.[1] ?? '', /"new" is no range of versions/);
});

test('a pattern or a range stands alone or in a list; what is neither is reported, not left out', async (t) => {
  const { tags, errors } = await readText(`
sync:
  - {source: a, type: repository, tags: {allow: latest, deny: [old], semverRange: ">=1"}}
  - {source: b, type: repository, tags: {allow: {latest: true}, semverRange: [[">=1"]]}}
`);
  t.deepEqual(tags[0], [
    'docker://docker.io/library/a',
    { match: 'whole', include: ['latest'], exclude: ['old'], semver: '>=1' },
  ]);
  t.is(errors.length, 2);
  t.regex(errors.join(), /semverRange has ranges of versions.*allow has patterns of tags/s);
});
