import test from 'ava';

import { readText } from '../../helpers/read-lists.ts';

const digest = `sha256:${'0123456789abcdef'.repeat(4)}`;

const rendered = `---
# Source: shop/templates/config.yaml
apiVersion: v1
kind: ConfigMap
metadata:
  name: shop
data:
  containers: "image: not/this"
---
# Source: shop/templates/web.yaml
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  template:
    metadata:
      labels: {app: web}
    spec:
      initContainers:
        - name: migrate
          image: busybox:1.36
      containers:
        - name: web
          image: "quay.io/shop/web:2.1"
        - {name: proxy, image: 'registry.example.com:5000/proxy@${digest}'}
      volumes:
        - name: model
          image:
            reference: quay.io/shop/model:3
            pullPolicy: IfNotPresent
        - name: scratch
          emptyDir: {}
---
---
# Source: shop/templates/job.yaml
apiVersion: batch/v1
kind: CronJob
spec:
  schedule: "0 3 * * *"
  jobTemplate:
    spec:
      template:
        spec:
          containers:
            - name: clean
              image: shop/clean
...
---
`;

test('what helm template prints gives the images of all pods, with their places', async (t) => {
  const { images, places, errors, notes } = await readText(rendered);
  t.deepEqual(errors, []);
  t.deepEqual(notes, []);
  t.deepEqual(images, [
    'docker://busybox:1.36',
    'docker://quay.io/shop/web:2.1',
    `docker://registry.example.com:5000/proxy@${digest}`,
    'docker://quay.io/shop/model:3',
    'docker://shop/clean',
  ]);
  t.deepEqual(places, ['22:18', '25:19', '26:33', '30:24', '47:22']);
});

test('lists and pods as a cluster gives them in JSON, ephemeral containers too', async (t) => {
  const pod = (image: string, more: object) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    spec: { containers: [{ name: 'a', image }], ...more },
    status: { containerStatuses: [{ name: 'a', image: 'docker.io/library/not-this:1', imageID: 'x' }] },
  });
  const items = [
    pod('a:1', { ephemeralContainers: [{ name: 'debug', image: 'debug:1' }] }),
    pod('b:1', { initContainers: null }),
  ];
  const { images, errors } = await readText(JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
  t.deepEqual(errors, []);
  t.deepEqual(images, ['docker://a:1', 'docker://debug:1', 'docker://b:1']);
});

test('custom resources that have templates of pods in them', async (t) => {
  const { images } = await readText(`
apiVersion: kubeflow.org/v1
kind: TFJob
spec:
  tfReplicaSpecs:
    Worker: {template: {spec: {containers: [{name: tensorflow, image: train:2}]}}}
---
apiVersion: monitoring.coreos.com/v1
kind: Prometheus
spec:
  containers:
    - name: prometheus # an image comes from elsewhere
    - name: sidecar
      image: sidecar:1
`);
  t.deepEqual(images, ['docker://train:2', 'docker://sidecar:1']);
});

test("OpenKruise's jobs that pull images", async (t) => {
  const { images } = await readText(`
apiVersion: apps.kruise.io/v1alpha1
kind: ImageListPullJob
spec:
  images:
  - nginx:1.9.1
  - busybox:1.29.2
---
apiVersion: apps.kruise.io/v1beta1
kind: ImagePullJob
spec:
  image: httpd:2.4
`);
  t.deepEqual(images, ['docker://nginx:1.9.1', 'docker://busybox:1.29.2', 'docker://httpd:2.4']);
});

test('what only looks like a pod names no image: schemas and data', async (t) => {
  const { images, errors } = await readText(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
spec:
  versions:
    - schema: {openAPIV3Schema: {properties: {containers: {type: array}}}}
      default: {containers: [{image: not/this}]}
---
apiVersion: v1
kind: Secret
stringData:
  containers: [{image: not/this}]
`);
  t.deepEqual([images, errors], [[], []]);
});

test('templates that are still open are named with their places, all at once', async (t) => {
  const { images, errors } = await readText(`
apiVersion: v1
kind: Pod
spec:
  containers:
    - image: {{ .Values.image }}
    - image: "{{ .Values.image }}:{{ .Values.tag }}"
    - image: $(IMAGE)
    - image: quay.io/app:\${TAG}
    - image: good
    - image: [a]
    - image: Bad/Case
`);
  t.deepEqual(images, ['docker://good']);
  t.deepEqual(
    errors.map((message) => message.replace(/: (?:a template|no reference).*/, ': …')),
    [
      'standard input, line 6, column 14: …',
      'standard input, line 7, column 15: "{{ .Values.image }}" is left open: a list has to have what it stands for',
      'standard input, line 8, column 14: "$(IMAGE)" is left open: a list has to have what it stands for',
      'standard input, line 9, column 14: "${TAG}" is left open: a list has to have what it stands for',
      'standard input, line 11, column 14: expected a reference of an image',
      'standard input, line 12, column 14: …',
    ],
  );
});

test('anchors that stand for the same containers again and again are looked at once', async (t) => {
  const lines = ['apiVersion: v1', 'kind: Pod', 'x0: &x0 {containers: [{image: a}]}'];
  for (let n = 1; n < 64; n += 1) lines.push(`x${n}: &x${n} [${`*x${n - 1},`.repeat(9)}]`);
  const { images } = await readText(lines.join('\n'));
  t.deepEqual(images, ['docker://a']);
});

test('a text of nothing but templates that are left open is refused as fast as any other', async (t) => {
  const before = process.threadCpuUsage();
  for (const open of ['$(', '${', '{{ ']) {
    const { errors } = await readText(
      `apiVersion: v1\nkind: Pod\nspec: {containers: [{image: "${open.repeat(300_000)}\\n"}]}`,
    );
    t.is(errors.length, 1);
  }
  t.true(process.threadCpuUsage(before).user < 20_000_000); // microseconds of this thread alone
});
