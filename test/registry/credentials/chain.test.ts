import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { hasCode } from '../../../src/errors.ts';
import { type CredentialChainOptions, openCredentialChain } from '../../../src/registry/credentials/chain.ts';
import {
  byRegistryKey,
  credentialFiles,
  findForRepository,
  registryKey,
} from '../../../src/registry/credentials/files.ts';
import { writeProgram } from '../../helpers/write-program.ts';

const auth = (pair: string) => ({ auth: Buffer.from(pair).toString('base64') });
const basic = (user: string, password: string) => ({ kind: 'basic', user, password }) as const;

type Setting = {
  readonly files?: Readonly<Record<string, object | string>>;
  /** Shell scripts by helper name. */
  readonly helpers?: Readonly<Record<string, string>>;
  readonly environment?: Readonly<Record<string, string>>;
} & Partial<Pick<CredentialChainOptions, 'configured' | 'helperMs' | 'nowMs'>>;

/** A home with these files, as a chain of its own sees it. */
async function chainOf(t: ExecutionContext, { files = {}, helpers = {}, environment = {}, ...options }: Setting) {
  const home = await mkdtemp(join(tmpdir(), 'credentials-'));
  t.teardown(() => rm(home, { recursive: true }));
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(home, name)), { recursive: true });
    await writeFile(join(home, name), typeof content === 'string' ? content : JSON.stringify(content));
  }
  const bin = join(home, 'bin');
  await mkdir(bin);
  for (const [name, script] of Object.entries(helpers)) {
    await writeProgram(join(bin, `docker-credential-${name}`), `#!/bin/sh\n${script}\n`);
  }
  const variables = { HOME: home, XDG_RUNTIME_DIR: join(home, 'run'), PATH: `${bin}:/usr/bin:/bin`, ...environment };
  const warnings: string[] = [];
  const lookup = openCredentialChain({
    configured: {},
    files: credentialFiles(variables, '/nowhere', 4711),
    environment: variables,
    onWarning: (message) => warnings.push(message),
    ...options,
  });
  return { home, lookup, warnings };
}

test('the files are those of podman and docker, or the named one alone', (t) => {
  const paths = (environment: Record<string, string>) =>
    credentialFiles(environment, '/home/me', 7).map(({ path }) => path);
  t.deepEqual(paths({}), [
    '/run/containers/7/auth.json',
    '/home/me/.config/containers/auth.json',
    '/home/me/.docker/config.json',
    '/home/me/.dockercfg',
  ]);
  t.deepEqual(paths({ HOME: '/h', XDG_RUNTIME_DIR: '/r', XDG_CONFIG_HOME: '/c', DOCKER_CONFIG: '/d' }), [
    '/r/containers/auth.json',
    '/c/containers/auth.json',
    '/d/config.json',
    '/h/.dockercfg',
  ]);
  t.deepEqual(paths({ REGISTRY_AUTH_FILE: '/a' }), ['/a']);
});

test('the first file with the registry is used, and configured credentials before all files', async (t) => {
  const { lookup } = await chainOf(t, {
    files: {
      'run/containers/auth.json': { auths: { 'a.example': auth('run:1') } },
      '.config/containers/auth.json': { auths: { 'a.example/team': auth('config:2'), 'b.example': auth('config:2') } },
      '.docker/config.json': {
        auths: { 'b.example': auth('docker:3'), 'https://index.docker.io/v1/': auth('docker:3:4') },
      },
      '.dockercfg': { 'c.example': { ...auth('old:5'), email: 'x@example.com' } },
    },
    configured: { 'd.example': { user: 'own', password: '6' }, 'index.docker.io/one': { user: 'own', password: '7' } },
  });
  t.deepEqual(await lookup('a.example', 'team/app'), basic('run', '1'));
  t.deepEqual(await lookup('b.example', 'app'), basic('config', '2'));
  t.deepEqual(await lookup('c.example', 'app'), basic('old', '5'));
  t.deepEqual(await lookup('d.example', 'app'), basic('own', '6'));
  t.deepEqual(await lookup('docker.io', 'library/app'), basic('docker', '3:4'));
  t.deepEqual(await lookup('docker.io', 'one/app'), basic('own', '7'));
  t.is(await lookup('e.example', 'app'), undefined);
});

test('tokens, names and passwords are read, and other entries are ignored with a warning', async (t) => {
  const { lookup, warnings } = await chainOf(t, {
    files: {
      '.docker/config.json': {
        auths: {
          'identity.example': { ...auth('x:y'), identitytoken: 'refresh' },
          'bearer.example': { registrytoken: 'bearer' },
          'plain.example': { username: 'u', password: 'p' },
          'nul.example': auth('u:p\0\0'),
          'colon.example': auth('hunter2'),
          'marker.example': {},
        },
        HttpHeaders: { 'User-Agent': 'x' },
      },
    },
  });
  t.deepEqual(await lookup('identity.example', 'a'), { kind: 'identity', token: 'refresh' });
  t.deepEqual(await lookup('bearer.example', 'a'), { kind: 'bearer', token: 'bearer' });
  t.deepEqual(await lookup('plain.example', 'a'), basic('u', 'p'));
  t.deepEqual(await lookup('nul.example', 'a'), basic('u', 'p'));
  t.is(await lookup('colon.example', 'a'), undefined);
  t.is(await lookup('marker.example', 'a'), undefined);
  t.is(warnings.length, 1);
  t.regex(warnings[0] ?? '', /config\.json.*colon\.example/);
  t.notRegex(warnings[0] ?? '', /hunter2|aHVudGVyMg/);
});

test('null and empty values count as absent', async (t) => {
  const entry = { auth: null, username: null, password: null, identitytoken: null, registrytoken: null };
  const nulls = { 'other.example': null, 'odd.example': entry };
  for (const files of [
    { '.docker/config.json': { auths: { ...nulls, 'a.example': auth('u:p') }, credHelpers: null, credsStore: null } },
    { '.docker/config.json': { auths: { 'a.example': auth('u:p') }, credHelpers: { 'a.example': null } } },
    { '.dockercfg': { ...nulls, 'a.example': auth('u:p') } },
    { '.docker/config.json': { auths: null }, '.dockercfg': { 'a.example': auth('u:p') } },
    { '.docker/config.json': '', '.config/containers/auth.json': ' \n', '.dockercfg': { 'a.example': auth('u:p') } },
  ]) {
    const { lookup } = await chainOf(t, { files });
    t.deepEqual(await lookup('a.example', 'x'), basic('u', 'p'));
    for (const host of ['other.example', 'odd.example']) t.is(await lookup(host, 'x'), undefined);
  }
});

test('an error in a file names the member, without its value', async (t) => {
  const problem = async (content: object | string) => {
    const { lookup } = await chainOf(t, { files: { '.docker/config.json': content } });
    return (await t.throwsAsync(lookup('a.example', 'x')))?.message.replace(/^.*config\.json"/, '');
  };
  t.is(await problem({ auths: [] }), ': auths: must be an object');
  t.is(await problem({ auths: { 'b.example': { auth: 1 } } }), ': auths["b.example"].auth: must be a string');
  t.is(
    await problem('{"auths":{"s3cret":{},"s3cret":{}}}'),
    ': cannot be used: line 1, column 23: a key is there twice',
  );
});

const echo = (user: string) =>
  `read server; echo "$server" >> "$HOME/asked"; echo "{\\"ServerURL\\":\\"$server\\",\\"Username\\":\\"${user}\\",\\"Secret\\":\\"s-$server\\"}"`;
const nothing = 'echo "credentials not found in native keychain"; exit 1';

test('helpers are asked for their registry before the file, and once', async (t) => {
  const { home, lookup } = await chainOf(t, {
    files: {
      '.docker/config.json': {
        auths: { 'gcr.io': auth('file:1'), 'other.example': auth('file:2'), 'known.example': {} },
        credHelpers: { 'gcr.io': 'cloud', 'https://index.docker.io/v1/': 'token', 'empty.example': 'empty' },
        credsStore: 'store',
      },
    },
    helpers: {
      cloud: echo('cloud'),
      token: echo('<token>'),
      empty: nothing,
      store: `[ "$(cat)" = known.example ] && echo '{"Username":"kept","Secret":"k"}' && exit; ${nothing}`,
    },
  });
  const both = await Promise.all([lookup('gcr.io', 'a/b'), lookup('gcr.io', 'c')]);
  t.deepEqual(both, [basic('cloud', 's-gcr.io'), basic('cloud', 's-gcr.io')]);
  t.deepEqual(await lookup('docker.io', 'library/a'), { kind: 'identity', token: 's-https://index.docker.io/v1/' });
  t.is(await lookup('empty.example', 'a'), undefined);
  t.deepEqual(await lookup('other.example', 'a'), basic('file', '2'));
  t.deepEqual(await lookup('known.example', 'a'), basic('kept', 'k'));
  t.is(await readFile(join(home, 'asked'), 'utf8'), 'gcr.io\nhttps://index.docker.io/v1/\n');
});

test('after a minute, helpers and files are asked again, and what one said before counts on where it fails', async (t) => {
  let nowMs = 0;
  const config = (password: string) =>
    JSON.stringify({
      auths: { 'file.example': auth(`file:${password}`), odd: { auth: 'b2Rk' } },
      credHelpers: { 'gcr.io': 'cloud' },
    });
  const { home, lookup, warnings } = await chainOf(t, {
    files: { '.docker/config.json': config('1') },
    helpers: { cloud: 'read host; cat "$HOME/answer" || exit 3' },
    nowMs: () => nowMs,
  });
  const rotate = async (password: string) => {
    await writeFile(join(home, '.docker/config.json'), config(password));
    await writeFile(join(home, 'answer'), JSON.stringify({ Username: 'cloud', Secret: password }));
  };
  const passwords = async () => {
    const found = await Promise.all([lookup('file.example', 'a'), lookup('gcr.io', 'a')]);
    return found.map((one) => (one?.kind === 'basic' ? one.password : undefined));
  };
  await rotate('1');
  t.deepEqual(await passwords(), ['1', '1']);
  await rotate('2');
  nowMs = 59_000;
  t.deepEqual(await passwords(), ['1', '1']);
  nowMs = 60_000;
  t.deepEqual(await passwords(), ['2', '2']);
  t.is(warnings.length, 1); // once, though the entry was read twice
  await writeFile(join(home, '.docker/config.json'), '{');
  await rm(join(home, 'answer'));
  nowMs = 120_000;
  t.deepEqual(await passwords(), ['2', '2']);
  t.is(warnings.length, 3);
  t.true(warnings.slice(1).every((warning) => warning.endsWith('; what it said before is used')));
  await rotate('3');
  nowMs = 180_000;
  t.deepEqual(await passwords(), ['3', '3']);
});

const broken: Readonly<Record<string, readonly [string, RegExp]>> = {
  missing: ['', /docker-credential-missing.*not on the PATH/],
  failing: ['echo s3cret; echo "no \\033[2Jbus" >&2; exit 3', /failed: no .*bus/],
  silent: ['exit 0', /did not answer with credentials/],
  odd: ['echo "[]"', /did not answer with credentials/],
  slow: ['exec sleep 20', /did not answer within 0\.2 s/],
  loud: ['yes s3cret', /wrote more than|did not answer/],
  '../evil': ['echo', /cannot be the name/],
};

for (const [name, [script, message]] of Object.entries(broken)) {
  test(`a helper that is broken fails the registries that need it: ${name}`, async (t) => {
    const { home, lookup } = await chainOf(t, {
      files: {
        '.docker/config.json': { credHelpers: { 'a.example': name }, auths: { 'b.example': auth('u:p') } },
      },
      helpers: name === 'missing' || name.includes('/') ? {} : { [name]: script },
      helperMs: name === 'slow' ? 200 : 5000,
    });
    const error = await t.throwsAsync(lookup('a.example', 'x'));
    t.true(hasCode(error, 'CONFIG_INVALID'));
    t.like(error, { details: { path: join(home, '.docker/config.json') } });
    t.regex(error?.message ?? '', message);
    t.notRegex(error?.message ?? '', /s3cret|\u001b/);
    t.deepEqual(await lookup('b.example', 'x'), basic('u', 'p'));
  });
}

for (const [what, content] of Object.entries({
  'that is not JSON': '{"auths":',
  'with a password in no quotes': '{"auths":{"b.example":{"password":s3cret}}}',
  'whose auths are a list': { auths: [] },
  'whose auth is a number': { auths: { 'a.example': { auth: 1 } } },
  'that is too large': JSON.stringify({ auths: {}, x: 'x'.repeat(1024 * 1024) }),
})) {
  test(`a file ${what} is named, but only where it is needed`, async (t) => {
    const { home, lookup } = await chainOf(t, {
      files: {
        '.config/containers/auth.json': { auths: { 'a.example': auth('u:p') } },
        '.docker/config.json': content,
      },
    });
    t.deepEqual(await lookup('a.example', 'x'), basic('u', 'p'));
    const error = await t.throwsAsync(lookup('b.example', 'x'));
    t.like(error, { code: 'CONFIG_INVALID', details: { path: join(home, '.docker/config.json') } });
    t.notRegex(error?.message ?? '', /s3cret/);
  });
}

test('a file that is given by name must exist', async (t) => {
  const { lookup } = await chainOf(t, { environment: { REGISTRY_AUTH_FILE: '/nowhere/auth.json' } });
  t.true(hasCode(await t.throwsAsync(lookup('a.example', 'x')), 'CONFIG_INVALID'));
});

test('all spellings of a registry have the same canonical name', (t) => {
  for (const hub of [
    'docker.io',
    'index.docker.io',
    'registry-1.docker.io',
    'registry.hub.docker.com',
    'https://index.docker.io/v1/',
    'index.docker.io/v1/',
    'https://DOCKER.io',
  ]) {
    t.is(registryKey(hub), 'docker.io', hub);
  }
  t.is(registryKey('https://reg.example.com/v2/'), 'reg.example.com');
  t.is(registryKey('http://reg.example.com:5000'), 'reg.example.com:5000');
  t.is(registryKey('quay.io/org/'), 'quay.io/org');
  t.is(registryKey('docker.io/library'), 'docker.io/library');
});

const rows: readonly (readonly [Record<string, string>, string, string, string | undefined])[] = [
  [{ 'quay.io': 'u1', 'quay.io/org': 'u2' }, 'quay.io', 'org/img', 'u2'],
  [{ 'quay.io': 'u1', 'quay.io/org': 'u2' }, 'quay.io', 'other/img', 'u1'],
  [{ 'quay.io': 'u1', 'quay.io/org': 'u2' }, 'quay.io', 'organisation/img', 'u1'],
  [{ 'https://index.docker.io/v1/': 'u' }, 'docker.io', 'library/busybox', 'u'],
  [{ 'docker.io': 'u' }, 'docker.io', 'library/busybox', 'u'],
  [{ 'https://reg.example.com/v2/': 'u' }, 'reg.example.com', 'x', 'u'],
  [{ 'reg.example.com': 'u' }, 'reg.example.com:5000', 'x', undefined],
  [{ 'quay.io/org/img': 'a', 'quay.io/org': 'b' }, 'quay.io', 'org/img2', 'b'],
  [{ 'quay.io/org/img': 'a', 'quay.io/org': 'b' }, 'quay.io', 'org/img', 'a'],
  [{ 'https://quay.io': 'a', 'quay.io': 'b' }, 'quay.io', 'x', 'b'],
  [{ 'quay.io': 'b', 'https://quay.io': 'a' }, 'quay.io', 'x', 'b'],
];

for (const [entries, host, repository, expected] of rows) {
  test(`${host}/${repository} among ${Object.keys(entries).join(', ')} is ${expected}`, (t) => {
    t.is(findForRepository(byRegistryKey(entries), host, repository), expected);
  });
}
