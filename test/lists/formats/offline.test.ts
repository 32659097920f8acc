import test from 'ava';

import { readText } from '../../helpers/read-lists.ts';

const digest = `sha256:${'a'.repeat(64)}`;

test('the images of a manifest of hauler; charts and files are named as skipped', async (t) => {
  const { images, entries, errors, notes } = await readText(`
apiVersion: content.hauler.cattle.io/v1
kind: Images
metadata:
  name: images
  annotations:
    hauler.dev/platform: linux/amd64
    hauler.dev/registry: registry.example.com
    hauler.dev/key: cosign.pub
spec:
  images:
    - name: team/scanner
    - name: docker.io/team/updater:latest
      platform: linux/arm64
      rewrite: other/updater
    - name: ghcr.io/team/app@${digest}
---
apiVersion: content.hauler.cattle.io/v1
kind: Charts
spec:
  charts:
    - {name: rancher, repoURL: "https://example.com/charts"}
    - {name: cert-manager}
---
apiVersion: content.hauler.cattle.io/v1alpha1
kind: Files
spec:
  files: [{path: "https://get.example.com/install.sh"}]
`);
  t.deepEqual(errors, []);
  t.deepEqual(images, [
    'docker://registry.example.com/team/scanner',
    'docker://docker.io/team/updater:latest',
    `docker://ghcr.io/team/app@${digest}`,
  ]);
  t.deepEqual(
    entries.map(({ platforms }) => platforms?.join()),
    ['linux/amd64', 'linux/arm64', 'linux/amd64'],
  );
  t.deepEqual(
    notes.map((note) => note.replace(/^.*column \d+: /, '')),
    [
      'of the images these are not used: hauler.dev/key, rewrite',
      'Charts are skipped: rancher, cert-manager',
      'Files are skipped: https://get.example.com/install.sh',
    ],
  );
});

test('the images of a lock of imgpkg, and the bundle', async (t) => {
  const { images, errors } = await readText(`---
apiVersion: imgpkg.carvel.dev/v1alpha1
kind: ImagesLock
images:
- image: index.docker.io/team/app@${digest}
  annotations:
    kbld.carvel.dev/id: team/app:1
- image: quay.io/team/db@${digest}
---
apiVersion: imgpkg.carvel.dev/v1alpha1
kind: BundleLock
bundle:
  image: quay.io/team/bundle@${digest}
  tag: v1
`);
  t.deepEqual(errors, []);
  t.deepEqual(
    images,
    ['index.docker.io/team/app', 'quay.io/team/db', 'quay.io/team/bundle'].map((name) => `docker://${name}@${digest}`),
  );
});

test('the additional images of a set for oc-mirror; the rest is named as skipped', async (t) => {
  const { images, errors, notes } = await readText(`
kind: ImageSetConfiguration
apiVersion: mirror.openshift.io/v2alpha1
mirror:
  platform:
    channels: [{name: stable-4.16}]
  operators:
    - catalog: registry.redhat.io/redhat/redhat-operator-index:v4.16
  additionalImages:
    - name: registry.redhat.io/ubi9/ubi:latest
    - name: quay.io/team/app@${digest}
    - {}
  blockedImages: [{name: alpine}]
`);
  t.deepEqual(images, ['docker://registry.redhat.io/ubi9/ubi:latest', `docker://quay.io/team/app@${digest}`]);
  t.deepEqual(errors, ['standard input, line 12, column 7: "name" is missing']);
  t.deepEqual(
    notes.map((note) => /mirror\.\w+/.exec(note)?.[0]),
    ['mirror.platform', 'mirror.operators', 'mirror.blockedImages'],
  );
});

test('what is no list of images is reported, since nothing of it would be taken', async (t) => {
  const texts = [
    'apiVersion: content.hauler.cattle.io/v1\nkind: Images\nspec: {images: {name: a}}',
    'apiVersion: imgpkg.carvel.dev/v1alpha1\nkind: ImagesLock\nimages: {image: a}',
    'apiVersion: mirror.openshift.io/v2alpha1\nkind: ImageSetConfiguration\nmirror: {additionalImages: {name: a}}',
    'version: 1\nsync: {source: a}',
    'version: 1\nsync: [{source: a, type: repository, tags: latest}]',
    'include: a.yaml\nservices: {}',
    'services: [a]\ninclude: []',
    '{"schema":"longshore.fetch/1","images":{"reference":"a"}}',
    '{"schema":"longshore.references/1","references":{"reference":"a"}}',
    '{"schema":"longshore.lock/2","images":[]}',
  ];
  for (const text of texts) {
    const type = text.startsWith('version: 1\nsync: {') ? 'regsync' : '';
    const { errors } = await readText(text, type);
    t.is(errors.length, 1, `${text}: ${errors.join('; ')}`);
    t.regex(errors[0] ?? '', /has to be a (?:list|map)$/, text);
  }
});
