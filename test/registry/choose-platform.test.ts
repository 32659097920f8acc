import test from 'ava';

import { hasCode } from '../../src/errors.ts';
import { parseDigest } from '../../src/image/digest.ts';
import type { GoPlatform } from '../../src/image/platform.ts';
import { choosePlatform, hostPlatform, runsOn } from '../../src/registry/choose-platform.ts';
import type { IndexEntry } from '../../src/registry/types.ts';
import { types } from '../helpers/registry.ts';

function platform(text: string): GoPlatform {
  const [os = '', architecture = '', variant] = text.split('/');
  return { os, architecture, ...(variant !== undefined && { variant }) };
}

function entry(text: string, index: number, more: Partial<IndexEntry> = {}): IndexEntry {
  return {
    mediaType: types.manifest,
    digest: parseDigest(`sha256:${String(index).padStart(64, '0')}`),
    size: 1,
    annotations: {},
    platform: text === '' ? undefined : platform(text),
    ...more,
  };
}

function chosen(entries: readonly string[], wanted: string): number {
  const list = entries.map((text, index) => entry(text, index));
  return list.indexOf(choosePlatform(list, platform(wanted)));
}

const rows: Readonly<Record<string, readonly [readonly string[], string, number]>> = {
  'the requested architecture': [['linux/amd64', 'linux/arm64'], 'linux/arm64', 1],
  'the requested variant': [['linux/arm/v6', 'linux/arm/v7', 'linux/arm64/v8'], 'linux/arm/v7', 1],
  'arm64 without a variant for v8': [['linux/arm64'], 'linux/arm64/v8', 0],
  'arm64 v8 for none': [['linux/arm64/v8'], 'linux/arm64', 0],
  'the first of equals': [['linux/amd64', 'linux/amd64'], 'linux/amd64', 0],
  'the nearest variant below': [['linux/arm/v5', 'linux/arm/v6'], 'linux/arm/v7', 1],
  'an entry with its platform is preferred to one without': [['', 'linux/amd64'], 'linux/amd64', 1],
  'an entry without a platform if no other fits': [['windows/amd64', ''], 'linux/amd64', 1],
  'amd64 without a variant before v1 that comes later': [
    ['linux/amd64/v2', 'linux/amd64', 'linux/amd64/v1'],
    'linux/amd64',
    1,
  ],
  'amd64 v2 for a machine of v3': [['linux/amd64', 'linux/amd64/v2', 'linux/amd64/v4'], 'linux/amd64/v3', 1],
};

for (const [what, [entries, wanted, expected]] of Object.entries(rows)) {
  test(`an index yields ${what}`, (t) => t.is(chosen(entries, wanted), expected));
}

test('if no platform fits, the error names the available platforms, each once', (t) => {
  const entries = ['windows/amd64', 'windows/amd64', 'linux/arm/v7', 'linux/amd64/v2'].map((text, n) => entry(text, n));
  const error = t.throws(() => choosePlatform(entries, platform('linux/amd64')));
  t.true(hasCode(error, 'PLATFORM_MISSING'));
  t.deepEqual((error as { details?: unknown }).details, {
    wanted: 'linux/amd64',
    available: ['windows/amd64', 'linux/arm/v7', 'linux/amd64/v2'],
  });
  t.true(
    hasCode(
      t.throws(() => choosePlatform([], platform('linux/amd64'))),
      'PLATFORM_MISSING',
    ),
  );
});

test('attestations, unknown platforms and other kinds of documents are ignored', (t) => {
  const attestation = { 'vnd.docker.reference.type': 'attestation-manifest' };
  const entries = [
    entry('linux/amd64', 0, { annotations: attestation }),
    entry('unknown/unknown', 1),
    entry('linux/amd64', 2, { mediaType: 'application/vnd.example.sbom' }),
    entry('linux/amd64', 3),
  ];
  t.true(choosePlatform(entries, platform('linux/amd64')) === entries[3]);
  const rest = entries.slice(0, 3);
  const error = t.throws(() => choosePlatform(rest, platform('linux/amd64')));
  t.true(hasCode(error, 'PLATFORM_MISSING') && error.details.available.length === 0);
});

test('the platform of a machine is Linux on its processor', (t) => {
  const of = (arch: string, armVersion?: string) =>
    hostPlatform({ platform: 'darwin', arch, ...(armVersion !== undefined && { armVersion }) });
  t.deepEqual(of('x64'), { os: 'linux', architecture: 'amd64' });
  t.deepEqual(of('arm64'), { os: 'linux', architecture: 'arm64' });
  t.deepEqual(of('arm', '6'), { os: 'linux', architecture: 'arm', variant: 'v6' });
  t.deepEqual(of('ia32'), { os: 'linux', architecture: '386' });
  t.deepEqual(of('ppc64'), { os: 'linux', architecture: 'ppc64le' });
  t.deepEqual(of('s390x'), { os: 'linux', architecture: 's390x' });
});

test('an image runs on its own platform and on later variants only', (t) => {
  t.true(runsOn(platform('linux/arm/v6'), platform('linux/arm/v7')));
  t.false(runsOn(platform('linux/arm/v7'), platform('linux/arm/v6')));
  t.false(runsOn(platform('linux/amd64'), platform('linux/arm64')));
  t.false(runsOn(platform('windows/amd64'), platform('linux/amd64')));
  t.false(runsOn(platform('linux/mips/a'), platform('linux/mips/b')));
});
