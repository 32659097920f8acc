import test from 'ava';

import { readDocuments } from '../../src/lists/located.ts';
import { typeOfDocument } from '../../src/lists/parse-structured.ts';

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
