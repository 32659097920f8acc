import { execFile, spawnSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

import test, { type ExecutionContext } from 'ava';

import { readRegistriesConf } from '../../src/cli/registries/registries-conf.ts';
import { parseRegistryReference } from '../../src/image/registry-reference.ts';
import { resolveImage } from '../../src/registry/resolve.ts';
import { describe, refusal, startRegistry, types } from '../helpers/registry.ts';
import { openTestClient } from '../helpers/registry-client.ts';
import { temporaryDirectory } from '../helpers/stored.ts';

const execute = promisify(execFile);
const withSkopeo = spawnSync('skopeo', ['--version']).status === 0 ? test : test.skip;

const config = describe('{}', types.config);
const manifest = JSON.stringify({ schemaVersion: 2, mediaType: types.manifest, config, layers: [] });
const { digest } = describe(manifest, types.manifest);

/** Up has everything, and so have Mirror and Next; Empty has nothing. */
const names = ['Up', 'Mirror', 'Next', 'Empty'] as const;

type Setting = {
  /** The file that is named, unless `home` has all. `{Up}` and the like stand for hosts, `{digest}` for the image's. */
  readonly conf?: string;
  /** By path below the home directory. */
  readonly home?: Readonly<Record<string, string>>;
  readonly reference?: string;
  /** Requests for manifests: by skopeo, and by us. */
  readonly asked: readonly string[];
  /** What we ask for where that differs from skopeo: the test says why. */
  readonly ours?: readonly string[];
};

async function startAll(t: ExecutionContext) {
  const log: string[] = [];
  const entries = await Promise.all(
    names.map(async (name) => {
      const registry = await startRegistry(t, {
        guard: ({ url = '' }) => {
          const path = url.replace(/\?.*$/s, '');
          if (!path.includes('/manifests/')) return undefined;
          log.push(`${name} ${path.replace('/v2/', '').replace('/manifests/', ' ').replace(digest, 'digest')}`);
          if (name === 'Empty') return refusal(404, 'MANIFEST_UNKNOWN', 'unknown');
          return { body: manifest, headers: { 'content-type': types.manifest } };
        },
      });
      return [name, registry.host] as const;
    }),
  );
  const hosts: Readonly<Record<string, string>> = { ...Object.fromEntries(entries), digest };
  const fill = (text: string) => text.replace(/\{(\w+)\}/g, (_, name: string) => hosts[name] ?? '');
  return { log, fill };
}

/** What skopeo and we ask for under the same configuration. Names end in .test: what no rule leads to is nowhere. */
async function compare(t: ExecutionContext, { conf, home = {}, reference = team, asked, ours = asked }: Setting) {
  const { log, fill } = await startAll(t);
  const directory = await temporaryDirectory(t);
  const files = { ...home, ...(conf !== undefined && { 'named.conf': conf }) };
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), fill(text));
  }
  const environment = { HOME: directory, XDG_RUNTIME_DIR: directory, PATH: process.env['PATH'] };
  const named = conf === undefined ? undefined : join(directory, 'named.conf');
  const image = `docker://${fill(reference)}`;

  const flags = named === undefined ? [] : ['--registries-conf', named];
  await execute('skopeo', [...flags, 'inspect', '--raw', image], { env: environment }).catch(() => undefined);
  t.deepEqual(log.splice(0), asked, 'skopeo');

  const variables = { HOME: directory, ...(named !== undefined && { CONTAINERS_REGISTRIES_CONF: named }) };
  const resolve = async () => {
    const { rules } = await readRegistriesConf(variables, join(directory, 'etc'));
    const client = openTestClient(t, { mirrors: rules, http: { retries: 0 } });
    const platform = { os: 'linux', architecture: 'amd64' };
    await resolveImage(client, parseRegistryReference(image), { platform }, AbortSignal.timeout(600_000));
  };
  await resolve().catch(() => undefined);
  t.deepEqual(log, ours, 'longshore');
}

const team = 'example.test/team/app:1';
const byDigest = 'example.test/team/app@{digest}';
const R = '[[registry]]\n';
const M = '[[registry.mirror]]\n';
const rule = (prefix: string, location: string, more = '') =>
  `${R}prefix="${prefix}"\nlocation="${location}"\ninsecure=true\n${more}`;
const mirror = (location: string, more = '') => `${M}location="${location}"\ninsecure=true\n${more}`;
const up = rule('example.test', '{Up}');
const main = '.config/containers/registries.conf';

const settings: Readonly<Record<string, Setting>> = {
  // prefixes and locations
  'a location takes the place of the prefix': { conf: rule('example.test', '{Up}/p'), asked: ['Up p/team/app 1'] },
  'a location may end in slashes': { conf: rule('example.test', '{Up}/p//'), asked: ['Up p/team/app 1'] },
  'a prefix may end in a slash': { conf: rule('example.test/team/', '{Up}/p'), asked: ['Up p/app 1'] },
  'a prefix may be a repository': { conf: rule('example.test/team/app', '{Up}/p'), asked: ['Up p 1'] },
  'a prefix ends at the end of a part': { conf: rule('example.test/te', '{Next}') + up, asked: ['Up team/app 1'] },
  'the longest prefix counts': { conf: up + rule('example.test/team', '{Next}'), asked: ['Next app 1'] },
  'of two for the same prefix the first counts': {
    conf: up + rule('example.test', '{Next}'),
    asked: ['Up team/app 1'],
  },
  'a prefix that is empty is the location': { conf: rule('', '{Up}'), reference: '{Up}/app:1', asked: ['Up app 1'] },
  'a prefix with a tag is never applied': {
    conf: rule('example.test/team/app:1', '{Next}/p:1') + up,
    asked: ['Up team/app 1'],
  },
  'a prefix with a digest is never applied': {
    conf: rule('example.test/team/app@{digest}', '{Next}') + up,
    reference: byDigest,
    asked: ['Up team/app digest'],
  },
  'a location with a tag leads nowhere': { conf: rule('example.test/team/app', '{Up}/p:2'), asked: [] },
  'a location in upper case leads nowhere, nor do mirrors before it': {
    conf: rule('example.test', '{Up}/P', mirror('{Mirror}')),
    asked: [],
  },
  'docker.io has many names and one rule': {
    conf: rule('docker.io/library', '{Up}/hub'),
    reference: 'busybox',
    asked: ['Up hub/busybox latest'],
  },
  'keys are taken in any case': {
    conf: '[[Registry]]\nPREFIX="example.test"\nLocation="{Up}"\n[[Registry.Mirror]]\nLocation="{Mirror}"\nINSECURE=true\n',
    asked: ['Mirror team/app 1'],
  },
  'unknown keys do not matter': { conf: `${up}colour=1\n[other]\nx=1\n`, asked: ['Up team/app 1'] },

  // hosts
  'a wildcard is every host below': {
    conf: rule('*.example.test', '{Up}/p'),
    reference: 'a.b.example.test/app:1',
    asked: ['Up p/app 1'],
  },
  'a wildcard is not the host itself': { conf: rule('*.example.test', '{Next}') + up, asked: ['Up team/app 1'] },
  'a wildcard needs no location': {
    conf: `${R}prefix="*.example.test"\n${mirror('{Mirror}')}`,
    reference: 'a.example.test/app:1',
    asked: ['Mirror app 1'],
  },
  'a wildcard counts before a host of the same length': {
    conf: rule('a.b.test', '{Next}') + rule('*.b.test', '{Up}'),
    reference: 'a.b.test/app:1',
    asked: ['Up app 1'],
  },
  'a wildcard does not count before a longer prefix': {
    conf: rule('*.b.test', '{Next}') + rule('a.b.test/x', '{Up}'),
    reference: 'a.b.test/x/app:1',
    asked: ['Up app 1'],
  },
  'a wildcard fits any port, which then follows the location': {
    conf: rule('*.example.test', '{Up}'),
    reference: 'a.example.test:5000/app:1',
    asked: [],
  },
  'a host without a port fits any port, which then follows the location': {
    conf: rule('example.test', '{Up}'),
    reference: 'example.test:5000/app:1',
    asked: [],
  },
  'hosts in upper case are one host for us, so that no rule is missed': {
    conf: rule('Example.test', '{Up}'),
    asked: [],
    ours: ['Up team/app 1'],
  },

  // mirrors
  'a mirror is asked first': { conf: up + mirror('{Mirror}/m'), asked: ['Mirror m/team/app 1'] },
  'what a mirror does not have the next one is asked for': {
    conf: up + mirror('{Empty}') + mirror('{Next}'),
    asked: ['Empty team/app 1', 'Next team/app 1'],
  },
  'and then the registry': { conf: up + mirror('{Empty}'), asked: ['Empty team/app 1', 'Up team/app 1'] },
  'a mirror of http has to be insecure, whatever the rule says': {
    conf: `${up}${M}location="{Mirror}"\n`,
    asked: ['Up team/app 1'],
  },
  'a mirror has no mirrors': {
    conf: up + mirror('{Mirror}') + rule('{Mirror}', '{Next}'),
    asked: ['Mirror team/app 1'],
  },
  'a mirror may end in a slash for us, so that it is not passed by': {
    conf: up + mirror('{Mirror}/m/'),
    asked: [],
    ours: ['Mirror m/team/app 1'],
  },
  'mirrors for digests only are not asked for tags': {
    conf: `${up}mirror-by-digest-only=true\n${mirror('{Mirror}')}`,
    asked: ['Up team/app 1'],
  },
  'mirrors for digests only are asked for digests': {
    conf: `${up}mirror-by-digest-only=true\n${mirror('{Mirror}')}`,
    reference: byDigest,
    asked: ['Mirror team/app digest'],
  },

  // blocked
  'a registry that is blocked is not asked': {
    conf: `${R}location="{Up}"\nblocked=true\n`,
    reference: '{Up}/app:1',
    asked: [],
  },
  'its mirrors are': {
    conf: `${R}location="{Up}"\nblocked=true\n${mirror('{Empty}')}${mirror('{Mirror}')}`,
    reference: '{Up}/app:1',
    asked: ['Empty app 1', 'Mirror app 1'],
  },
  'and it is not, when they fail': {
    conf: `${R}location="{Up}"\nblocked=true\n${mirror('{Empty}')}`,
    reference: '{Up}/app:1',
    asked: ['Empty app 1'],
  },
  'a mirror that is blocked is passed over': {
    conf: `${up}${mirror('{Mirror}')}${mirror('{Next}')}${R}location="{Mirror}"\nblocked=true\n`,
    asked: ['Next team/app 1'],
  },
  'a host that is blocked is so with any port': {
    conf: `${R}location="127.0.0.1"\nblocked=true\n`,
    reference: '{Up}/app:1',
    asked: [],
  },
  'what is blocked under one name is so for us under the name of its location too': {
    conf: `${up}blocked=true\n`,
    asked: ['Up team/app 1'],
    ours: [],
  },

  // broken rules
  'a rule of another registry may be odd': {
    conf: `${up}${rule('quay.test/x:v1', 'quay.test/z:v1')}${R}location="[::1]:5000"\n${R}location="harbor.test/My_Proxy"\n${R}location="a b/c d"\n`,
    asked: ['Up team/app 1'],
  },
  'a rule of another registry may be broken, for us': {
    conf: `${up}${R}location="https://third.test"\n${R}prefix="fourth.test"\nlocation="x"\nblocked="yes"\n`,
    asked: [],
    ours: ['Up team/app 1'],
  },
  'a broken rule of the registry itself is no reason to pass a mirror by': {
    conf: up + M + 'location="https://{Mirror}"\n',
    asked: [],
  },
  'a wildcard with a path is broken': {
    conf: rule('*.b.test/x', '{Up}'),
    reference: 'a.b.test/x/app:1',
    asked: [],
  },
  'a mirror without a location is broken': { conf: `${up}${M}insecure=true\n`, asked: [] },

  // the first version of the format
  'the first version is read': {
    conf: '[Registries.Insecure]\nRegistries=["{Up}/"]\n',
    reference: '{Up}/app:1',
    asked: ['Up app 1'],
  },
  'the first version blocks': {
    conf: '[registries.block]\nregistries=["{Up}/"]\n[registries.insecure]\nregistries=["{Up}/"]\n',
    reference: '{Up}/app:1',
    asked: [],
  },

  // files
  'the own file is read': { home: { [main]: up }, asked: ['Up team/app 1'] },
  'what stands beside it takes the place of its rules, the last file of all': {
    home: {
      [main]: up,
      [`${main}.d/b.conf`]: rule('example.test', '{Next}'),
      [`${main}.d/a.conf`]: rule('example.test', '{Empty}'),
    },
    asked: ['Next team/app 1'],
  },
  'a rule takes the place of a whole rule': {
    home: { [main]: up + mirror('{Mirror}'), [`${main}.d/b.conf`]: up },
    asked: ['Up team/app 1'],
  },
  'only files that end in .conf count, and no directories': {
    home: { [main]: up, [`${main}.d/b.CONF`]: '[[', [`${main}.d/c.conf/d.conf`]: '[[' },
    asked: ['Up team/app 1'],
  },
  'a file that is named takes the place of the own one, not of what stands beside that': {
    conf: up,
    home: { [main]: rule('example.test', '{Empty}'), [`${main}.d/a.conf`]: rule('other.test', '{Next}') },
    reference: 'other.test/app:1',
    asked: ['Next app 1'],
  },
  'a file that is no TOML stops everything': { home: { [main]: up, [`${main}.d/b.conf`]: '[[' }, asked: [] },
};

for (const [what, setting] of Object.entries(settings)) {
  withSkopeo(`as skopeo reads registries.conf: ${what}`, (t) => compare(t, setting));
}

for (const [value, tags, digests] of [
  ['all', 'Mirror', 'Mirror'],
  ['', 'Mirror', 'Mirror'],
  ['digest-only', 'Up', 'Mirror'],
  ['tag-only', 'Mirror', 'Up'],
] as const) {
  withSkopeo(`as skopeo reads registries.conf: pull-from-mirror "${value}"`, async (t) => {
    const conf = up + mirror('{Mirror}', `pull-from-mirror="${value}"\n`);
    await compare(t, { conf, asked: [`${tags} team/app 1`] });
    await compare(t, { conf, reference: byDigest, asked: [`${digests} team/app digest`] });
  });
}
