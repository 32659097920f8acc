import test from 'ava';

import { ruleFor } from '../../src/registry/mirror-rule.ts';
import { placesOf, repositoryAt } from '../../src/registry/place.ts';
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
] as const) {
  test(`the rule for ${host}/${repository} is that of ${prefix ?? 'none'}`, (t) => {
    t.is(ruleFor(rules, host, repository)?.rule.prefix, prefix);
  });
}

/** Where a repository is asked for, as URLs without scheme. */
function asked(named: MirrorRule, host: string, repository: string): readonly string[] {
  const places = placesOf({ host, repository, wanted: 'tag' }, { allowHttp: false, mirrors: [named] });
  return places.map((place) => `${place.origins.join(' ')} ${repositoryAt(place, repository)}`);
}

test('a location takes the place of the prefix, and so does a mirror', (t) => {
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
