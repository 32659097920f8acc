import test from 'ava';

import { tlsFor } from '../../src/compose.ts';
import { isLoopback, placesOf, ruleFor } from '../../src/registry/place.ts';
import type { MirrorRule } from '../../src/registry/types.ts';

const rule = (prefix: string): MirrorRule => ({ prefix, mirrors: [] });
const prefixes = ['docker.io', 'docker.io/library', 'docker.io/library/busybox', '*.example.com', 'a.example.com:5000'];
const rules = prefixes.map(rule);

for (const [host, repository, prefix] of [
  ['docker.io', 'team/app', 'docker.io'],
  ['docker.io', 'library/redis', 'docker.io/library'],
  ['docker.io', 'library/busybox', 'docker.io/library/busybox'],
  ['docker.io', 'library2/busybox', 'docker.io'],
  ['a.example.com', 'app', '*.example.com'],
  ['a.b.example.com', 'app', '*.example.com'],
  ['a.example.com:5000', 'app', 'a.example.com:5000'],
  ['example.com', 'app', undefined],
  ['badexample.com', 'app', undefined],
  ['b.example.com:5000', 'app', '*.example.com'],
  ['docker.io:443', 'team/app', undefined],
] as const) {
  test(`the rule for ${host}/${repository} is that of ${prefix ?? 'none'}`, (t) => {
    t.is(ruleFor(rules, `${host}/${repository}`)?.rule.prefix, prefix);
  });
}

/** Where a repository is asked for, as URLs without scheme. */
function asked(named: MirrorRule, host: string, repository: string): readonly string[] {
  const { places } = placesOf({ host, repository, namedBy: 'tag' }, { allowHttp: false, mirrors: [named] });
  return places.map((place) => `${place.origins.join(' ')} ${place.repository}`);
}

test('an origin is as URLs have it, since answers say theirs so: without the usual port, in small letters', (t) => {
  t.deepEqual(asked({ ...rule('a.example:443'), insecure: true }, 'a.example:443', 'app'), [
    'https://a.example http://a.example:443 app',
  ]);
  t.deepEqual(asked(rule('x'), 'A.Example:5000', 'app'), ['https://a.example:5000 app']);
  t.deepEqual(asked(rule('x'), 'localhost:80', 'app'), ['https://localhost:80 http://localhost app']);
  t.deepEqual(asked(rule('x'), '[0:0::1]:443', 'app'), ['https://[::1] http://[::1]:443 app']);
});

test('a location replaces the prefix, and so does a mirror', (t) => {
  const mirrors = [
    { origin: 'https://mirror.lan', prefix: 'hub', resolves: true },
    { origin: 'https://insecure.lan:5000', resolves: true, insecure: true },
  ];
  const named = { prefix: 'example.com/team', location: 'inner.lan/x', mirrors };
  t.deepEqual(asked(named, 'example.com', 'team/app'), [
    'https://mirror.lan hub/app',
    'https://insecure.lan:5000 http://insecure.lan:5000 app',
    'https://inner.lan x/app',
  ]);
  t.deepEqual(asked({ ...rule('example.com/app'), location: 'inner.lan/it' }, 'example.com', 'app'), [
    'https://inner.lan it',
  ]);
  t.deepEqual(asked({ ...rule('example.com'), insecure: true }, 'example.com', 'team/app'), [
    'https://example.com http://example.com team/app',
  ]);
});

test('a host without a port in a file matches any port, which is appended to the location', (t) => {
  const named = { ...rule('example.com'), location: 'inner.lan', source: '/etc/containers/registries.conf' };
  t.deepEqual(asked(named, 'example.com:5000', 'app'), ['https://inner.lan:5000 app']);
  t.throws(() => asked({ ...named, location: 'inner.lan/x' }, 'example.com:5000', 'app'), {
    message:
      /registries\.conf": the rule for example\.com: "inner\.lan\/x:5000\/app", .* is not the name of a repository/,
  });
});

test('docker.io is replaced by its server, also as a mirror and as a location', (t) => {
  const mirrors = [{ origin: 'https://docker.io', prefix: 'library', resolves: true }];
  t.deepEqual(asked({ ...rule('example.com'), location: 'docker.io', mirrors }, 'example.com', 'team/app'), [
    'https://registry-1.docker.io library/team/app',
    'https://registry-1.docker.io team/app',
  ]);
});

test('certificates are not checked for the hosts of insecure rules and mirrors only', (t) => {
  const source = '/etc/containers/registries.conf';
  const mirrors = [
    { ...rule('*.example.com'), insecure: true, source },
    { ...rule('a.example'), location: 'there.example/x', insecure: true, source },
    { ...rule('b.example'), mirrors: [{ origin: 'https://m.example:1', resolves: true, insecure: true }], source },
  ];
  const isInsecure = (host: string) => tlsFor({ mirrors })(host)?.insecure ?? false;
  const insecure = ['x.example.com', 'x.example.com:5000', 'there.example', 'there.example:5000', 'm.example:1'];
  t.deepEqual(insecure.filter(isInsecure), insecure);
  t.deepEqual(['example.com', 'a.example', 'b.example', 'm.example', 'x.there.example'].filter(isInsecure), []);
});

test('this machine is told by its name or address, however that is written', (t) => {
  for (const host of [
    'localhost',
    'localhost:5000',
    'LocalHost:5000',
    '127.0.0.1:5000',
    '127.9.9.9',
    '127.1',
    '0x7f.1:80',
    '[::1]',
    '[::1]:5000',
  ])
    t.true(isLoopback(host), host);
  for (const host of [
    'localhost.lan',
    'lan.localhost',
    '127.0.0.1.lan:5000',
    'a127.0.0.1',
    '10.0.0.1:5000',
    '128.1',
    '[::2]:5000',
    'registry',
    'xn--a',
  ])
    t.false(isLoopback(host), host);
});
