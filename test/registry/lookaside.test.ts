import test from 'ava';

import { parseDigest } from '../../src/image/digest.ts';
import { parseRegistryReference } from '../../src/image/registry-reference.ts';
import { lookasideFor, signatureAt, type SignaturePlace } from '../../src/registry/lookaside.ts';

const digest = `sha256:${'a'.repeat(64)}`;
const at = (url: string): SignaturePlace => ({ kind: 'url', url });

function scopeFor(reference: string, scopes: readonly string[], others?: string): string | undefined {
  const lookasides = {
    scopes: new Map(scopes.map((scope) => [scope, at(scope)])),
    others: others === undefined ? undefined : at(others),
    fallback: undefined,
  };
  const place = lookasideFor(lookasides, parseRegistryReference(reference));
  return place?.kind === 'url' ? place.url : undefined;
}

test('the narrowest scope counts', (t) => {
  const scopes = [
    `docker.io/library/busybox@${digest}`,
    'docker.io/library/busybox:1',
    'docker.io/library/busybox',
    'docker.io/library',
    'docker.io',
    '*.io',
  ];
  t.is(scopeFor(`busybox@${digest}`, scopes), scopes[0]);
  t.is(scopeFor('busybox:1', scopes), scopes[1]);
  t.is(scopeFor('busybox:2', scopes), scopes[2]);
  t.is(scopeFor('redis', scopes), scopes[3]);
  t.is(scopeFor('team/app', scopes), scopes[4]);
  t.is(scopeFor('ghcr.io/team/app', scopes), scopes[5]);
  t.is(scopeFor('ghcr.com/team/app', scopes), undefined);
  t.is(scopeFor('ghcr.com/team/app', scopes, 'rest'), 'rest');
});

test('scopes end at the boundaries of paths and hosts', (t) => {
  t.is(scopeFor('example.com/teamwork/app', ['example.com/team']), undefined);
  t.is(scopeFor('example.com:5000/app', ['example.com']), undefined);
  t.is(scopeFor('example.com:5000/app', ['example.com:5000']), 'example.com:5000');
  t.is(scopeFor('badexample.com/app', ['*.example.com']), undefined);
  t.is(scopeFor('a.b.example.com/app', ['*.example.com', '*.b.example.com']), '*.b.example.com');
});

test('signatures lie under the repository, the digest and their number', (t) => {
  const [, hex] = digest.split(':');
  const path = `team/app@sha256=${hex}/signature-2`;
  t.deepEqual(
    signatureAt(at('https://example.com/sigs'), 'team/app', parseDigest(digest), 2),
    at(`https://example.com/sigs/${path}`),
  );
  const directory: SignaturePlace = { kind: 'file', path: '/var/sigs' };
  t.deepEqual(signatureAt(directory, 'team/app', parseDigest(digest), 2), { kind: 'file', path: `/var/sigs/${path}` });
});
