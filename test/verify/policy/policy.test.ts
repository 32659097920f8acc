import test from 'ava';
import fc from 'fast-check';

import { type PolicyRules, type Requirement, requirementsOf, scopesOf } from '../../../src/verify/policy/policy.ts';

const host = fc.constantFrom(
  'docker.io',
  'localhost:5000',
  'a.b.example.com:8443',
  'registry.example.com',
  '[::1]:5000',
  '10.0.0.1',
);
const repository = fc
  .array(fc.constantFrom('team', 'library', 'a', 'app-1'), { minLength: 1, maxLength: 4 })
  .map((parts) => parts.join('/'));
const digest = `sha256:${'a'.repeat(64)}`;
const named = fc
  .record({
    host,
    repository,
    tag: fc.constantFrom('1', 'latest', undefined),
    digest: fc.constantFrom(digest, undefined),
  })
  .map(({ tag, digest, ...name }) => ({
    ...name,
    ...(tag !== undefined && { tag }),
    ...(digest !== undefined && { digest }),
  }));

/** Whether a scope covers an image, by its definition alone. */
function covers(
  scope: string,
  { host, repository, tag, digest }: { host: string; repository: string; tag?: string; digest?: string },
): boolean {
  const name = `${host}/${repository}`;
  if (scope === '') return true;
  if (scope.startsWith('*.')) return host.replace(/:\d+$/, '').endsWith(scope.slice(1));
  return scope === `${name}@${digest}` || scope === `${name}:${tag}` || name === scope || name.startsWith(`${scope}/`);
}

test('the scopes of an image are its reference, its repository, the parents of that, the host with its port, and wildcards for the domains above', (t) => {
  t.deepEqual(scopesOf({ host: 'a.b.example.com:8443', repository: 'team/app', tag: '1' }), [
    'a.b.example.com:8443/team/app:1',
    'a.b.example.com:8443/team/app',
    'a.b.example.com:8443/team',
    'a.b.example.com:8443',
    '*.b.example.com',
    '*.example.com',
    '*.com',
  ]);
  t.deepEqual(scopesOf({ host: 'docker.io', repository: 'library/busybox', digest }).slice(0, 2), [
    `docker.io/library/busybox@${digest}`,
    'docker.io/library/busybox',
  ]);
});

test('of all scopes that cover an image the most specific one counts alone, then that of the transport, then the default', (t) => {
  const pieces = fc.constantFrom(
    '',
    '*.com',
    '*.example.com',
    'docker.io',
    'docker.io/library',
    'localhost:5000/team',
    'localhost:5000/te',
    'b.example.com',
    'registry.example.com/a/team',
    '10.0.0.1/a',
    'localhost',
  );
  fc.assert(
    fc.property(named, fc.uniqueArray(pieces), fc.boolean(), (image, others, hasOwn) => {
      const own = hasOwn ? scopesOf(image).slice(0, 2) : [];
      const scopes = [...new Set([...others, ...own])];
      const requirement = (index: number): readonly Requirement[] =>
        index === -1
          ? [{ type: 'reject' }]
          : [
              { type: 'insecureAcceptAnything' },
              ...Array.from({ length: index }, (): Requirement => ({ type: 'reject' })),
            ];
      const policy: PolicyRules = {
        default: requirement(-1),
        docker: new Map(scopes.map((scope, index) => [scope, requirement(index)])),
      };
      const fitting = scopes.filter((scope) => covers(scope, image));
      const isDigest = (scope: string) => scope.includes('@');
      const rank = (scope: string) =>
        scope.startsWith('*') ? scope.length : scope === '' ? 0 : 1000 + scope.length + (isDigest(scope) ? 1000 : 0);
      const best = fitting.toSorted((a, b) => rank(b) - rank(a))[0];
      const expected = (best === undefined ? undefined : policy.docker.get(best)) ?? policy.default;
      t.is(requirementsOf(policy, image).requirements, expected);
    }),
    { numRuns: 500 },
  );
});
