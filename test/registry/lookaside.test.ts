import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { hasCode } from '../../src/errors.ts';
import { parseDigest } from '../../src/image/digest.ts';
import { parseRegistryReference } from '../../src/image/registry-reference.ts';
import { lookasideFor, readLookasides, signatureAt } from '../../src/registry/lookaside.ts';
import type { SignaturePlace } from '../../src/registry/parse-registries-d.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

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

test('the most specific scope is used', (t) => {
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

test('scopes match whole parts of paths and hosts', (t) => {
  t.is(scopeFor('example.com/teamwork/app', ['example.com/team']), undefined);
  t.is(scopeFor('example.com:5000/app', ['example.com']), undefined);
  t.is(scopeFor('example.com:5000/app', ['example.com:5000']), 'example.com:5000');
  t.is(scopeFor('badexample.com/app', ['*.example.com']), undefined);
  t.is(scopeFor('a.b.example.com/app', ['*.example.com', '*.b.example.com']), '*.b.example.com');
});

test('the path of a signature has the repository, the digest and its number', (t) => {
  const [, hex] = digest.split(':');
  const path = `team/app@sha256=${hex}/signature-2`;
  t.deepEqual(
    signatureAt(at('https://example.com/sigs'), 'team/app', parseDigest(digest), 2),
    at(`https://example.com/sigs/${path}`),
  );
  const directory: SignaturePlace = { kind: 'file', path: '/var/sigs' };
  t.deepEqual(signatureAt(directory, 'team/app', parseDigest(digest), 2), { kind: 'file', path: `/var/sigs/${path}` });
});

async function directoryOf(t: ExecutionContext, files: Readonly<Record<string, string>>): Promise<string> {
  const directory = join(await temporaryDirectory(t), 'registries.d');
  await mkdir(directory);
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text);
  return directory;
}

async function read(t: ExecutionContext, files: Readonly<Record<string, string>>) {
  return readLookasides({ registriesD: [await directoryOf(t, files)] });
}

test('all files of a directory are read, with both names of the key', async (t) => {
  const { scopes, others, fallback } = await read(t, {
    'default.yaml': 'default-docker:\n  sigstore: file:///var/a%20b/\n',
    'a.yaml': 'docker:\n  example.com: {lookaside: "https://example.com/sigs/", sigstore: "https://other"}\n  a.io:\n',
    'b.yaml':
      'docker:\n  example.com/team:\n    lookaside: http://localhost:8080\n  b.io: {lookaside-staging: file:///b}\n',
    'empty.yaml': '# nothing\n',
    'marker.yaml': '\ufeff---\n',
    'not-read.conf': '{',
  });
  t.deepEqual(others, { kind: 'file', path: '/var/a b' });
  t.deepEqual(Object.fromEntries(scopes), {
    'example.com': { kind: 'url', url: 'https://example.com/sigs' },
    'example.com/team': { kind: 'url', url: 'http://localhost:8080' },
  });
  t.is(fallback, undefined);
});

test('only the first directory that exists is read', async (t) => {
  const user = await directoryOf(t, {});
  const system = await directoryOf(t, { 'default.yaml': 'default-docker: {lookaside: file:///system}' });
  const others = { kind: 'file', path: '/system' } as const;
  t.is((await readLookasides({ registriesD: [user, system] })).others, undefined);
  t.deepEqual((await readLookasides({ registriesD: [`${user}-none`, system], fallback: '/x' })).others, others);
  const nothing = { scopes: new Map(), others: undefined, fallback: '/x' };
  t.deepEqual(await readLookasides({ registriesD: [`${user}-none`], fallback: '/x' }), nothing);
});

const bad: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'is not YAML': { 'a.yaml': 'docker: {' },
  'docker["example.com"].lookaside: must be a string': { 'a.yaml': 'docker: {example.com: {lookaside: 1}}' },
  'default-docker is configured twice': { 'a.yaml': 'default-docker: {}', 'b.yaml': 'default-docker: {}' },
  'example.com is configured twice': { 'a.yaml': 'docker: {example.com: }', 'b.yaml': 'docker: {example.com: {}}' },
  'is not YAML: duplicated mapping key (2:1)': { 'a.yaml': 'docker: {}\ndocker: {}' },
  'is more than one document': { 'a.yaml': 'docker: {}\n---\ndefault-docker: {}' },
  'is not YAML: tab characters': { 'a.yaml': 'docker:\n\texample.com: {}' },
  'is not YAML: aliases': { 'a.yaml': 'docker: {a.io: &a {}, b.io: *a}' },
  'is not a local directory': { 'a.yaml': 'default-docker: {lookaside: "file://host/sigs"}' },
  'without user, password and query': { 'a.yaml': 'default-docker: {lookaside: "https://a:b@example.com/"}' },
  'signatures must be at': { 'a.yaml': 'default-docker: {lookaside: /var/sigs}' },
  'http(s):// or file:///': { 'a.yaml': 'default-docker: {lookaside: "https://example.com/?a"}' },
  'is larger than': { 'a.yaml': '#'.repeat(1024 * 1024 + 1) },
};

for (const [what, files] of Object.entries(bad)) {
  test(`a bad file is named: ${what}`, async (t) => {
    const error = await t.throwsAsync(read(t, files));
    t.true(hasCode(error, 'CONFIG_INVALID') && /\/[ab]\.yaml$/.test(error.details.path), error.message);
    t.true(error.message.includes(what), error.message);
    t.notRegex(error.message, /\n|a:b/);
  });
}
