import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { parseRegistriesConf } from '../../../src/cli/registries/parse-registries-conf.ts';
import { readRegistriesConf } from '../../../src/cli/registries/registries-conf.ts';
import { hasCode, type ImageError } from '../../../src/internal.ts';
import { temporaryDirectory } from '../../helpers/stored.ts';

const source = '/etc/registries.conf';
const conf = (text: string) => parseRegistriesConf(text, source);
const rules = (text: string) => conf(text).rules;

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
        { origin: 'https://other.lan', resolves: true, only: 'digests', insecure: false },
      ],
      source,
    },
    { prefix: 'bad.example.com', blocked: true, mirrors: [], source },
  ]);
});

test('mirrors for digests only are used for no tag, and not for the manifest it stands for', (t) => {
  const text =
    '[[registry]]\nprefix = "*.example.com"\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = "m"';
  t.deepEqual(rules(text), [
    {
      prefix: '*.example.com',
      mirrors: [{ origin: 'https://m', resolves: true, only: 'digests', insecure: false }],
      source,
    },
  ]);
});

test('the first version of the format is read, and is ignored if it lists nothing', (t) => {
  const text = `
    [registries.search]
    registries = ["docker.io", "quay.io"]
    [registries.insecure]
    registries = ["Inner.lan:5000", "bad.example.com/team"]
    [registries.block]
    registries = ["bad.example.com/team"]`;
  t.deepEqual(rules(text), [
    { prefix: 'bad.example.com/team', blocked: true, insecure: true, mirrors: [], source },
    { prefix: 'inner.lan:5000', insecure: true, mirrors: [], source },
  ]);
  const empty = '[[registry]]\nlocation = "a.example"\n[registries.insecure]\nregistries = []\n[registries.search]';
  t.deepEqual(rules(empty), [{ prefix: 'a.example', mirrors: [], source }]);
});

for (const [what, text, why] of [
  ['what is no TOML', '[[registry', /is not TOML: /],
  [
    'a file of both versions of the format',
    '[[registry]]\nlocation = "a"\n[registries.block]\nregistries = ["b"]',
    /: both versions of the format/,
  ],
  ['a rule for nothing', '[[registry]]\nblocked = true', /registry\[0\]: neither prefix nor location/],
] as const) {
  test(`${what} is refused, and the file is named`, (t) => {
    const error = t.throws<ImageError>(() => rules(text));
    t.true(hasCode(error, 'CONFIG_INVALID'));
    t.regex(error?.message ?? '', why);
    t.regex(error?.message ?? '', /"\/etc\/registries\.conf": [^\n]*$/);
  });
}

for (const [what, text, prefix, why] of [
  [
    'a location with a scheme',
    'location = "https://a"',
    'a',
    /: location: must be HOST\[:PORT\]\[\/PATH\], without a scheme$/,
  ],
  ['a flag that is a text', 'location = "a"\nblocked = "yes"', 'a', /: blocked: must be true or false$/],
  ['a wildcard with a port', 'prefix = "*.a:1"', '*.a:1', /: prefix: must be \*\.HOST/],
  [
    'a pull that is none',
    'location = "a"\n[[registry.mirror]]\nlocation = "b"\npull-from-mirror = "x"',
    'a',
    /mirror\[0\]\.pull-from-mirror: must be/,
  ],
  [
    'two words on digests',
    'location = "a"\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = "b"\npull-from-mirror = "tag-only"',
    'a',
    /both there$/,
  ],
] as const) {
  test(`${what} fails the registry that the rule is for, with a warning`, (t) => {
    const { rules, warnings } = conf(`[[registry]]\n${text}\n[[registry]]\nlocation = "good.example"`);
    t.is(rules.length, 2);
    t.like(rules[0], { prefix, mirrors: [], source });
    t.not(rules[0]?.fault, undefined);
    t.is(rules[1]?.fault, undefined);
    t.is(warnings.length, 1);
    t.regex(warnings[0] ?? '', /^"\/etc\/registries\.conf": the rule for /);
    t.regex(warnings[0] ?? '', why);
  });
}

test('a warning is given for a rule that never applies', (t) => {
  const { warnings } = conf(
    '[[registry]]\nprefix = "quay.io/x/y:v1"\nlocation = "m"\n[[registry]]\nlocation = "m:5000"',
  );
  t.is(warnings.length, 1);
  t.regex(
    warnings[0] ?? '',
    /the rule for quay\.io\/x\/y:v1: its prefix has a tag or a digest, so that it is never applied$/,
  );
});

async function files(t: ExecutionContext, contents: Readonly<Record<string, string>>) {
  const directory = await temporaryDirectory(t);
  for (const [path, location] of Object.entries(contents)) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    const rule = `[[registry]]\nprefix = "example.com"\nlocation = "${location}"`;
    await writeFile(join(directory, path), rule);
  }
  const read = async (environment: Readonly<Record<string, string>> = {}) => {
    const found = await readRegistriesConf({ HOME: directory, ...environment }, join(directory, 'etc'));
    return found.rules.map(({ location }) => location);
  };
  return { directory, read };
}

test('a main file of the user replaces all files of the system, and rules of drop-in files replace those of the main file', async (t) => {
  const main = { 'etc/registries.conf': 'system', '.config/containers/registries.conf': 'own' };
  t.deepEqual(await (await files(t, main)).read(), ['own']);
  const more = { 'etc/registries.conf.d/2.conf': 'second', 'etc/registries.conf.d/1.conf': 'first' };
  t.deepEqual(await (await files(t, { ...main, ...more })).read(), ['own']);
  t.deepEqual(await (await files(t, more)).read(), ['second']);
  const own = { '.config/containers/registries.conf.d/a.conf': 'last', 'etc/registries.conf.d/x.txt': 'none' };
  const { directory, read } = await files(t, { ...main, ...more, ...own, named: 'named' });
  t.deepEqual(await read(), ['last']);
  t.deepEqual(await read({ CONTAINERS_REGISTRIES_CONF: join(directory, 'named') }), ['last']);
  const alone = await files(t, { named: 'named', '.config/containers/registries.conf': 'own' });
  t.deepEqual(await alone.read({ CONTAINERS_REGISTRIES_CONF: join(alone.directory, 'named') }), ['named']);
  const missing = await t.throwsAsync(alone.read({ CONTAINERS_REGISTRIES_CONF: '/nowhere' }));
  t.true(hasCode(missing, 'CONFIG_INVALID'));
  const xdg = { XDG_CONFIG_HOME: join(directory, 'xdg') };
  t.deepEqual(await (await files(t, { 'xdg/containers/registries.conf': 'xdg' })).read(), []);
  const moved = await files(t, { 'xdg/containers/registries.conf': 'xdg' });
  t.deepEqual(await moved.read({ XDG_CONFIG_HOME: join(moved.directory, 'xdg') }), ['xdg']);
  t.deepEqual(await read(xdg), ['last']);
  t.deepEqual(await (await files(t, {})).read(), []);
});
