import test from 'ava';

import { hasCode } from '../../src/errors.ts';
import { parseDigest } from '../../src/image/digest.ts';
import { architectures, defaultLabels } from '../../src/image/labels.ts';
import {
  choosePlatform,
  type GoPlatform,
  hostPlatform,
  parsePlatform,
  registryLabels,
  runsOn,
  toAppcPlatform,
  toGoPlatform,
} from '../../src/image/platform.ts';
import type { IndexEntry } from '../../src/registry/types.ts';
import { types } from '../helpers/registry.ts';

test('platforms of Go and registries are converted to appc names', (t) => {
  const rows: readonly (readonly [string, string, string | undefined, string])[] = [
    ['linux', 'amd64', undefined, 'amd64'],
    ['linux', 'arm64', undefined, 'aarch64'], // K1
    ['linux', 'arm64', 'v8', 'aarch64'],
    ['linux', '386', undefined, 'i386'], // K2
    ['linux', 'arm', '7', 'armv7l'], // K3
    ['linux', 'arm', 'v7', 'armv7l'],
    ['linux', 'arm', 'v6', 'armv6l'],
    ['linux', 'arm', undefined, 'armv6l'], // K9
    ['linux', 's390x', undefined, 's390x'],
    ['freebsd', '386', undefined, 'i386'], // K4
    ['freebsd', 'arm', '7', 'arm'], // K10
    ['darwin', 'amd64', undefined, 'x86_64'],
  ];
  for (const [os, architecture, variant, arch] of rows) {
    t.deepEqual(toAppcPlatform({ os, architecture, ...(variant !== undefined && { variant }) }), { os, arch });
  }
});

test('a platform without an appc name is refused, and the message lists those with one', (t) => {
  for (const platform of [
    { os: 'TempleOS', architecture: 'ia64' }, // K5
    { os: '', architecture: '' }, // K6
    { os: 'linux', architecture: 'arm', variant: 'v5' },
    { os: 'linux', architecture: 'riscv64' },
    { os: 'windows', architecture: 'amd64' },
  ]) {
    const error = t.throws(() => toAppcPlatform(platform));
    t.true(hasCode(error, 'PLATFORM_MISSING') && error.details.available.includes('linux/aarch64'));
  }
});

test('the conversion to Go names is an inverse, and arm variants are those of registries', (t) => {
  t.deepEqual(toGoPlatform({ os: 'linux', arch: 'armv6l' }), { os: 'linux', architecture: 'arm', variant: 'v6' }); // K7
  t.throws(() => toGoPlatform({ os: 'linux', arch: 'armv7b' })); // K8
  t.throws(() => toGoPlatform({ os: 'linux', arch: 'aarch64_be' }));
  for (const [os, list] of architectures) {
    for (const arch of list.filter((arch) => arch !== 'armv7b' && arch !== 'aarch64_be')) {
      t.deepEqual(toAppcPlatform(toGoPlatform({ os, arch })), { os, arch });
    }
  }
});

test('missing os and arch are those of the running platform, in appc names', (t) => {
  const rows: readonly (readonly [string, string, string | undefined, string])[] = [
    ['linux', 'x64', undefined, 'amd64'],
    ['linux', 'arm64', undefined, 'aarch64'],
    ['linux', 'ia32', undefined, 'i386'],
    ['linux', 'arm', '6', 'armv6l'],
    ['linux', 'arm', '7', 'armv7l'],
    ['linux', 'arm', undefined, 'armv7l'],
    ['linux', 'ppc64', undefined, 'ppc64le'],
    ['linux', 's390x', undefined, 's390x'],
    ['freebsd', 'x64', undefined, 'amd64'],
    ['freebsd', 'arm', undefined, 'arm'],
    ['darwin', 'x64', undefined, 'x86_64'],
  ];
  for (const [platform, arch, armVersion, expected] of rows) {
    const labels = defaultLabels(new Map(), { platform, arch, ...(armVersion !== undefined && { armVersion }) });
    t.deepEqual([...labels], [['os', platform], ['arch', expected]]); // prettier-ignore
  }
});

test('given labels are kept, and a missing arch gets its name for the given os', (t) => {
  const node = { platform: 'darwin', arch: 'x64' };
  const labels = defaultLabels(new Map([['version', '1'], ['os', 'linux']]), node); // prettier-ignore
  t.deepEqual([...labels], [['version', '1'], ['os', 'linux'], ['arch', 'amd64']]); // prettier-ignore
  t.is(defaultLabels(new Map([['arch', 'i386']]), node).get('arch'), 'i386');
});

test('a pair that appc does not define is refused, and the message says where the value came from', (t) => {
  const asked = t.throws(() => defaultLabels(new Map([['arch', 'arm64']]), { platform: 'linux', arch: 'x64' }));
  t.true(hasCode(asked, 'LABEL_INVALID') && asked.details.label === 'arch');
  t.notRegex(asked.message, /this machine/);
  const own = t.throws(() => defaultLabels(new Map(), { platform: 'darwin', arch: 'arm64' }));
  t.true(hasCode(own, 'LABEL_INVALID'));
  t.regex(own.message, /taken from this machine/);
});

for (const [text, ...parts] of [
  ['linux/arm64', 'linux', 'arm64', undefined],
  ['linux/arm/v7', 'linux', 'arm', 'v7'],
  ['Linux/AMD64', 'linux', 'amd64', undefined],
  ['linux/x86_64', 'linux', 'amd64', undefined],
  ['linux/x86-64', 'linux', 'amd64', undefined],
  ['linux/aarch64', 'linux', 'arm64', undefined],
  ['linux/armhf', 'linux', 'arm', 'v7'],
  ['linux/armel', 'linux', 'arm', 'v6'],
  ['macos/arm64/v8', 'darwin', 'arm64', 'v8'],
] as const) {
  test(`${text} is ${parts.filter(Boolean).join('/')}`, (t) => {
    const { os, architecture, variant } = parsePlatform(text);
    t.deepEqual([os, architecture, variant], parts);
  });
}

for (const text of [
  '',
  'linux',
  'linux/',
  '/amd64',
  'linux/arm/v7/x',
  'linux/constructor/ ',
  'a b/c',
  'linux/\u001b[31m',
]) {
  test(`${JSON.stringify(text)} is no platform`, (t) => {
    const error = t.throws(() => parsePlatform(text, '--platform'));
    t.true(hasCode(error, 'USAGE'));
    t.regex(error?.message ?? '', /^--platform: want a platform [^\u001b]*$/);
  });
}

test('a word that is a property of every object is an architecture like any other', (t) => {
  t.deepEqual(parsePlatform('linux/constructor'), { os: 'linux', architecture: 'constructor' });
});

function labels(tag: string | undefined, os: string, architecture: string, variant = '') {
  return Object.fromEntries(registryLabels(tag === undefined ? {} : { tag }, { os, architecture, variant }));
}

test('the tag becomes the version, and the platform gets its appc names', (t) => {
  t.deepEqual(labels('1.36', 'linux', 'arm64'), { version: '1.36', os: 'linux', arch: 'aarch64' });
  t.deepEqual(labels(undefined, 'linux', 'amd64'), { os: 'linux', arch: 'amd64' });
});

test('a platform without an appc name keeps that of its registry', (t) => {
  t.deepEqual(labels(undefined, 'linux', 'riscv64'), { os: 'linux', arch: 'riscv64' });
});

test('an image without a platform gets no labels for it', (t) => {
  t.deepEqual(labels('1', '', ''), { version: '1' });
});

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
