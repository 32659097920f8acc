import test from 'ava';

import { registryLabels } from '../../src/image/registry-labels.ts';

function labels(tag: string | undefined, os: string, architecture: string, variant = '') {
  return Object.fromEntries(registryLabels(tag === undefined ? {} : { tag }, { os, architecture, variant }));
}

test('a tag is the version, and the platform is named as archives name it', (t) => {
  t.deepEqual(labels('1.36', 'linux', 'arm64'), { version: '1.36', os: 'linux', arch: 'aarch64' });
  t.deepEqual(labels(undefined, 'linux', 'amd64'), { os: 'linux', arch: 'amd64' });
});

test('a platform that archives have no name for keeps that of its registry', (t) => {
  t.deepEqual(labels(undefined, 'linux', 'riscv64'), { os: 'linux', arch: 'riscv64' });
});

test('an image that names no platform has no labels for it', (t) => {
  t.deepEqual(labels('1', '', ''), { version: '1' });
});
