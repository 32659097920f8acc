import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { parseRegistriesConf } from '../../../src/cli/registries/parse-registries-conf.ts';
import { readRegistriesConf } from '../../../src/cli/registries/registries-conf.ts';
import { hasCode, type ImageError } from '../../../src/index.ts';
import { temporaryDirectory } from '../../helpers/stored.ts';

const rules = (text: string) => parseRegistriesConf(text, '/etc/registries.conf');

test('prefix, location, mirrors, blocked and insecure are read', (t) => {
  const text = `
    unqualified-search-registries = ["docker.io"]
    [[registry]]
    prefix = "Example.com/team"
    location = "inner.lan:5000/example"
    insecure = true
    [[registry.mirror]]
    location = "mirror.lan:5000/hub/x"
    insecure = true
    [[registry.mirror]]
    location = "other.lan"
    pull-from-mirror = "digest-only"
    [[registry]]
    location = "bad.example.com"
    blocked = true
    [aliases]
    "busybox" = "docker.io/library/busybox"`;
  t.deepEqual(rules(text), [
    {
      prefix: 'example.com/team',
      location: 'inner.lan:5000/example',
      insecure: true,
      mirrors: [
        { origin: 'https://mirror.lan:5000', prefix: 'hub/x', resolves: true, insecure: true },
        { origin: 'https://other.lan', resolves: false, insecure: false },
      ],
    },
    { prefix: 'bad.example.com', blocked: true, mirrors: [] },
  ]);
});

test('mirrors of a registry that may be asked for digests only do not say what tags mean', (t) => {
  const text =
    '[[registry]]\nprefix = "*.example.com"\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = "m"';
  t.deepEqual(rules(text), [
    { prefix: '*.example.com', mirrors: [{ origin: 'https://m', resolves: false, insecure: false }] },
  ]);
});

test('the first version of the format is read, and does not matter where it lists nothing', (t) => {
  const text = `
    [registries.search]
    registries = ["docker.io", "quay.io"]
    [registries.insecure]
    registries = ["Inner.lan:5000", "bad.example.com/team"]
    [registries.block]
    registries = ["bad.example.com/team"]`;
  t.deepEqual(rules(text), [
    { prefix: 'inner.lan:5000', insecure: true, mirrors: [] },
    { prefix: 'bad.example.com/team', blocked: true, mirrors: [] },
  ]);
  const empty = '[[registry]]\nlocation = "a.example"\n[registries.insecure]\nregistries = []\n[registries.search]';
  t.deepEqual(rules(empty), [{ prefix: 'a.example', mirrors: [] }]);
});

for (const [what, text, why] of [
  ['what is no TOML', '[[registry', /is not TOML: /],
  [
    'a file of both versions of the format',
    '[[registry]]\nlocation = "a"\n[registries.block]\nregistries = ["b"]',
    /: both versions of the format/,
  ],
  ['a rule for nothing', '[[registry]]\nblocked = true', /registry\[0\]: neither prefix nor location/],
  ['a location with a scheme', '[[registry]]\nlocation = "https://a"', /registry\[0\]\.location: want HOST/],
  [
    'a flag that is a text',
    '[[registry]]\nlocation = "a"\nblocked = "yes"',
    /registry\[0\]\.blocked: must be true or false$/,
  ],
] as const) {
  test(`${what} is refused, and the file named`, (t) => {
    const error = t.throws<ImageError>(() => rules(text));
    t.true(hasCode(error, 'CONFIG_INVALID'));
    t.regex(error?.message ?? '', why);
    t.regex(error?.message ?? '', /"\/etc\/registries\.conf": [^\n]*$/);
  });
}

async function files(t: ExecutionContext, contents: Readonly<Record<string, string>>) {
  const directory = await temporaryDirectory(t);
  for (const [path, location] of Object.entries(contents)) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    const rule = `[[registry]]\nprefix = "example.com"\nlocation = "${location}"`;
    await writeFile(join(directory, path), rule);
  }
  const read = async (environment: Readonly<Record<string, string>> = {}) => {
    const found = await readRegistriesConf({ HOME: directory, ...environment }, join(directory, 'etc'));
    return found.map(({ location }) => location);
  };
  return { directory, read };
}

test('of the two main files the own one counts, and files beside them take the place of its rules', async (t) => {
  const main = { 'etc/registries.conf': 'system', '.config/containers/registries.conf': 'own' };
  t.deepEqual(await (await files(t, main)).read(), ['own']);
  const more = { 'etc/registries.conf.d/2.conf': 'second', 'etc/registries.conf.d/1.conf': 'first' };
  t.deepEqual(await (await files(t, { ...main, ...more })).read(), ['second']);
  const own = { '.config/containers/registries.conf.d/a.conf': 'last', 'etc/registries.conf.d/x.txt': 'none' };
  const { directory, read } = await files(t, { ...main, ...more, ...own, named: 'named' });
  t.deepEqual(await read(), ['last']);
  t.deepEqual(await read({ CONTAINERS_REGISTRIES_CONF: join(directory, 'named') }), ['named']);
  t.deepEqual(await (await files(t, {})).read(), []);
});
