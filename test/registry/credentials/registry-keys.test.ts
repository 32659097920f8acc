import test from 'ava';

import { byRegistryKey, findForRepository, registryKey } from '../../../src/registry/credentials/registry-keys.ts';

test('the many names of a registry are one', (t) => {
  for (const hub of [
    'docker.io',
    'index.docker.io',
    'registry-1.docker.io',
    'registry.hub.docker.com',
    'https://index.docker.io/v1/',
    'index.docker.io/v1/',
    'https://DOCKER.io',
  ]) {
    t.is(registryKey(hub), 'docker.io', hub);
  }
  t.is(registryKey('https://reg.example.com/v2/'), 'reg.example.com');
  t.is(registryKey('http://reg.example.com:5000'), 'reg.example.com:5000');
  t.is(registryKey('quay.io/org/'), 'quay.io/org');
  t.is(registryKey('docker.io/library'), 'docker.io/library');
});

const rows: readonly (readonly [Record<string, string>, string, string, string | undefined])[] = [
  [{ 'quay.io': 'u1', 'quay.io/org': 'u2' }, 'quay.io', 'org/img', 'u2'],
  [{ 'quay.io': 'u1', 'quay.io/org': 'u2' }, 'quay.io', 'other/img', 'u1'],
  [{ 'quay.io': 'u1', 'quay.io/org': 'u2' }, 'quay.io', 'organisation/img', 'u1'],
  [{ 'https://index.docker.io/v1/': 'u' }, 'docker.io', 'library/busybox', 'u'],
  [{ 'docker.io': 'u' }, 'docker.io', 'library/busybox', 'u'],
  [{ 'https://reg.example.com/v2/': 'u' }, 'reg.example.com', 'x', 'u'],
  [{ 'reg.example.com': 'u' }, 'reg.example.com:5000', 'x', undefined],
  [{ 'quay.io/org/img': 'a', 'quay.io/org': 'b' }, 'quay.io', 'org/img2', 'b'],
  [{ 'quay.io/org/img': 'a', 'quay.io/org': 'b' }, 'quay.io', 'org/img', 'a'],
  [{ 'https://quay.io': 'a', 'quay.io': 'b' }, 'quay.io', 'x', 'b'],
  [{ 'quay.io': 'b', 'https://quay.io': 'a' }, 'quay.io', 'x', 'b'],
];

for (const [entries, host, repository, expected] of rows) {
  test(`${host}/${repository} among ${Object.keys(entries).join(', ')} is ${expected}`, (t) => {
    t.is(findForRepository(byRegistryKey(entries), host, repository), expected);
  });
}
