import test from 'ava';
import fc from 'fast-check';

import { parseNamedReference } from '../../../src/image/registry-reference.ts';
import { matchesIdentity, type SignedIdentity } from '../../../workers/proofs/identity.ts';

const a = `sha256:${'a'.repeat(64)}`;
const b = `sha256:${'b'.repeat(64)}`;
const tagged = 'example.com/team/app:1';
const byDigest = `example.com/team/app@${a}`;
const repository = 'example.com/team/app';

/** What is requested, what is claimed, and what comes of it with each identity: exact, repo digest or exact, repository. */
const cases: readonly (readonly [
  requested: string,
  claimed: string,
  verdicts: readonly [boolean, boolean, boolean],
])[] = [
  [tagged, tagged, [true, true, true]],
  [tagged, 'example.com/team/app:2', [false, false, true]],
  [tagged, repository, [false, false, true]],
  [tagged, byDigest, [false, false, true]],
  [tagged, 'example.com/team/other:1', [false, false, false]],
  [tagged, 'example.org/team/app:1', [false, false, false]],
  [tagged, 'docker://example.com/team/app:1', [false, false, false]],
  [tagged, 'no reference at all', [false, false, false]],
  [byDigest, byDigest, [true, true, true]],
  [byDigest, `example.com/team/app@${b}`, [false, true, true]],
  [byDigest, tagged, [false, true, true]],
  [byDigest, repository, [false, false, true]],
  ['docker.io/library/busybox:1', 'busybox:1', [true, true, true]],
  ['docker.io/library/busybox:latest', 'busybox', [false, false, true]],
  [`${tagged}@${a}`, tagged, [true, true, true]],
  [`${tagged}@${a}`, `${tagged}@${a}`, [true, true, true]],
  [`${tagged}@${a}`, `${tagged}@${b}`, [false, false, true]],
  [tagged, `${tagged}@${a}`, [false, false, true]],
];

const types = ['matchExact', 'matchRepoDigestOrExact', 'matchRepository'] as const;

function matches(identity: SignedIdentity, requested: string, claimed: string): boolean {
  const image = parseNamedReference(requested);
  if (!image) throw new Error('a test asks for a reference');
  return matchesIdentity(identity, claimed, image);
}

for (const [requested, claimed, verdicts] of cases) {
  test(`${requested}, signed as ${claimed}`, (t) => {
    t.deepEqual(
      types.map((type) => matches({ type }, requested, claimed)),
      [...verdicts],
    );
  });
}

test('an exact reference and an exact repository do not depend on what is requested', (t) => {
  const exact = (dockerReference: string, claimed: string) =>
    matches({ type: 'exactReference', dockerReference }, 'mirror.local/x:9', claimed);
  t.true(exact(tagged, tagged));
  t.true(exact('busybox:1', 'docker.io/library/busybox:1'));
  t.true(exact(byDigest, byDigest));
  t.false(exact(tagged, 'example.com/team/app:2'));
  t.false(exact(tagged, repository));
  t.false(exact(tagged, `${tagged}@${a}`));
  t.false(exact(`${tagged}@${a}`, tagged));
  const within = (dockerRepository: string, claimed: string) =>
    matches({ type: 'exactRepository', dockerRepository }, 'mirror.local/x:9', claimed);
  t.true(within(repository, tagged));
  t.true(within(tagged, repository));
  t.false(within(repository, 'example.com/team/app2:1'));
});

test('a prefix is remapped at the boundaries of names only, and the rest is as for a repository, digest or exact', (t) => {
  const remapped = (prefix: string, signedPrefix: string, requested: string, claimed: string) =>
    matches({ type: 'remapIdentity', prefix, signedPrefix }, requested, claimed);
  t.true(
    remapped('mirror.local:5000', 'docker.io', 'mirror.local:5000/library/busybox:1', 'docker.io/library/busybox:1'),
  );
  t.true(remapped('mirror.local/hub', 'docker.io', `mirror.local/hub/library/busybox@${a}`, 'busybox:3'));
  t.true(remapped('mirror.local/hub', 'docker.io', tagged, tagged));
  t.false(
    remapped(
      'mirror.local/hub',
      'docker.io',
      'mirror.local/hub/library/busybox:1',
      'mirror.local/hub/library/busybox:1',
    ),
  );
  t.false(
    remapped('mirror.local/hu', 'docker.io', 'mirror.local/hub/library/busybox:1', 'docker.io/b/library/busybox:1'),
  );
  t.false(remapped('mirror.local', 'short', 'mirror.local/app:1', 'short/app:1'));
  t.false(remapped('mirror.local', 'docker.io', 'mirror.local/app:1', 'docker.io/library/app:1')); // docker.io/app is not written in full
});

test('without a prefix in common remapping changes nothing', (t) => {
  const name = fc.constantFrom('example.com/team/app:1', 'example.com/team/app:2', byDigest, 'other.org/app:1');
  fc.assert(
    fc.property(name, name, (requested, claimed) => {
      const identity = { type: 'remapIdentity', prefix: 'nowhere.test', signedPrefix: 'example.com' } as const;
      t.is(matches(identity, requested, claimed), matches({ type: 'matchRepoDigestOrExact' }, requested, claimed));
    }),
  );
});
