import test from 'ava';

import { parseSwitch } from '../../../src/cli/options/option.ts';
import {
  parseAge,
  parseCidr,
  parseConnectTo,
  parseCount,
  parseDiscover,
  parseInsecureOptions,
  parseLimits,
  parseRate,
  parseRates,
  parseSize,
  parseTime,
  parseTimeouts,
} from '../../../src/cli/options/values.ts';
import { hasCode } from '../../../src/errors.ts';

type Parse<T> = (text: string, option: string) => T;

/** What is taken, with its value, and what is refused in a message that names the option. */
function cases<T>(
  name: string,
  parse: Parse<T>,
  good: readonly (readonly [string, T])[],
  bad: readonly string[],
): void {
  for (const [text, value] of good) {
    test(`${name} takes ${JSON.stringify(text)}`, (t) => t.deepEqual(parse(text, '--it'), value));
  }
  for (const text of bad) {
    test(`${name} refuses ${JSON.stringify(text)}`, (t) => {
      const error = t.throws(() => parse(text, '--it'));
      t.true(hasCode(error, 'USAGE') && error.message.startsWith('--it') && !error.message.includes('\n'));
    });
  }
}

const all = { image: true, tls: true, http: true, pubkey: true, weakKeys: true };

cases(
  'a count',
  parseCount,
  [
    ['1', 1],
    ['016', 16],
    ['999999999', 999_999_999],
  ],
  ['0', '', '-1', '1.5', '1e3', '0x10', 'ten', ' 1', '9999999999'],
);
cases(
  'a size',
  parseSize,
  [
    ['0', 0],
    ['10', 10],
    ['2K', 2048],
    ['3M', 3_145_728],
    ['1G', 1_073_741_824],
    ['1k', 1024],
  ],
  ['', 'K', '1.5M', '-1', '1KB', '1T', '1 K', '9999999999G'],
);
cases('a rate', parseRate, [['512K', 524_288]], ['0', '0K', 'fast', '']);
cases(
  'a time',
  parseTime,
  [
    ['500ms', 500],
    ['30s', 30_000],
    ['1.5m', 90_000],
    ['2h', 7_200_000],
  ],
  ['', '30', '0s', '0.1ms', '-1s', '1d', 's', '1 s', '600h'],
);
test('rates: one for all and one for each host, which may have the usual port', (t) => {
  const texts = ['1K', 'A.example=2K', 'a.example:80=3K', 'a.example:443=4K', '[::1]:5000=5K', '6K'];
  t.deepEqual(parseRates(texts, 'limit-rate'), {
    limitRate: 6144,
    limitRates: { 'a.example': 2048, 'a.example:80': 3072, 'a.example:443': 4096, '[::1]:5000': 5120 },
  });
  for (const text of ['', '=1K', 'a/b=1K', 'u@a=1K', 'a:=1K', 'a=0', 'a=b=1K', 'https://a=1K', 'a:99999=1K']) {
    t.throws(() => parseRates([text], 'limit-rate'), { code: 'USAGE' }, text);
  }
});
cases(
  'an age',
  parseAge,
  [
    ['0', 0],
    ['5m', 300_000],
    ['168h', 604_800_000],
  ],
  ['', '5', '0s', '-1m', '169h'],
);
cases(
  'a switch',
  parseSwitch,
  [
    ['1', true],
    ['TRUE', true],
    ['yes', true],
    ['on', true],
    ['0', false],
    ['No', false],
    ['off', false],
    ['false', false],
    ['', false],
  ],
  ['2', 'y', 'enable'],
);
cases(
  'a network',
  parseCidr,
  [
    ['10.0.0.0/8', '10.0.0.0/8'],
    ['192.168.1.1', '192.168.1.1/32'],
    ['fd00::/8', 'fd00::/8'],
    ['::1', '::1/128'],
    ['0.0.0.0/0', '0.0.0.0/0'],
  ],
  ['', '10.0.0.0/33', '10.0.0/8', 'fd00::/129', 'example.com/8', '10.0.0.0/', '10.0.0.0/8/8', 'fe80::1%eth0/64'],
);
cases(
  'a detour',
  parseConnectTo,
  [
    ['a:443:127.0.0.1:8443', 'a:443:127.0.0.1:8443'],
    ['::127.0.0.1:', '::127.0.0.1:'],
    ['[::1]:443:[fe80::1]:444', '[::1]:443:[fe80::1]:444'],
  ],
  ['', 'a:443:b', 'a:443:b:c', 'a:99999:b:1', '::1:443:b:1:2', 'a:1:b :2'],
);
cases(
  'insecure options',
  parseInsecureOptions,
  [
    ['', {}],
    ['none', {}],
    ['image', { image: true }],
    ['TLS', { tls: true }],
    ['onDisk', {}],
    ['http', { http: true }],
    ['pubkey', { pubkey: true }],
    ['weak-keys', { weakKeys: true }],
    ['all', all],
    ['all,image', all],
    ['image,tls', { image: true, tls: true }],
    ['none,Image', { image: true }],
  ],
  ['nonsense', 'image,image', 'image,IMAGE', ',', 'image,', 'constructor', 'image tls'],
);

const texts =
  <T>(parse: (texts: readonly string[], option: string) => T): Parse<T> =>
  (text, option) =>
    parse(text.split(' '), option);

cases(
  'limits',
  texts(parseLimits),
  [
    ['manifest=2M archive=1G', { manifest: 2_097_152, archive: 1_073_741_824 }],
    ['nodes=1 nodes=2', { nodes: 2 }],
    ['registry-manifest=1K retry-after=10s', { registryManifest: 1024, retryAfter: 10_000 }],
    ['index-depth=0', { indexDepth: 0 }],
  ],
  ['manifests=1', 'manifest', '=1', 'manifest=', 'manifest=x', 'registryManifest=1', 'retry-after=10', '__proto__=1'],
);
cases(
  'timeouts',
  texts(parseTimeouts),
  [['stall=20s connect=500ms', { stall: 20_000, connect: 500 }]],
  ['total=1s', 'stall=20', 'stall=0s'],
);
cases(
  'discovery rules',
  texts(parseDiscover),
  [
    ['example.com=https://m.lan:8443', [{ prefix: 'example.com', origin: 'https://m.lan:8443' }]],
    ['a.com/b=http://x/ a.com/b=https://y', [{ prefix: 'a.com/b', origin: 'https://y' }]],
  ],
  [
    'example.com',
    'Example.com=https://m',
    'a.com/=https://m',
    'a.com=ftp://m',
    'a.com=https://m/path',
    'a.com=https://u:p@m',
    'a.com=https://m?q',
    'a.com=m',
  ],
);

test('a message about a value contains no control characters', (t) => {
  t.notRegex(t.throws(() => parseCount('\u001b[31m1', '--jobs')).message, /\u001b/);
});

test('a message about an unknown limit lists the known ones', (t) => {
  t.regex(t.throws(() => parseLimits(['maniest=1'], '--limit')).message, /maniest.*manifest, header.*retry-after/);
});
