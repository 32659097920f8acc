import test from 'ava';

import { hasCode } from '../../src/errors.ts';
import { parsePlatform } from '../../src/image/parse-platform.ts';

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

test('a word that every object knows is an architecture like any other', (t) => {
  t.deepEqual(parsePlatform('linux/constructor'), { os: 'linux', architecture: 'constructor' });
});
