import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import test, { type ExecutionContext } from 'ava';

import { readConfig } from '../../../src/cli/config/read-config.ts';
import { hasCode } from '../../../src/errors.ts';
import { temporaryDirectory } from '../../helpers/stored.ts';

const v1 = (rktKind: string, rest: object) => ({ rktKind, rktVersion: 'v1', ...rest });
const basic = (domain: string, user = 'bar', password = 'baz') =>
  v1('auth', { domains: [domain], type: 'basic', credentials: { user, password } });
const docker = (registry: string) =>
  v1('dockerAuth', { registries: [registry], credentials: { user: 'bar', password: 'baz' } });

/** Path below the root → content; text as it is, everything else as JSON. */
async function configuration(t: ExecutionContext, files: Record<string, unknown>) {
  const root = await temporaryDirectory(t);
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), typeof content === 'string' ? content : JSON.stringify(content));
  }
  return { root, directories: { system: join(root, 'system'), local: join(root, 'local'), user: join(root, 'user') } };
}

async function read(t: ExecutionContext, files: Record<string, unknown>) {
  return readConfig((await configuration(t, files)).directories);
}

test('without any directory the configuration is empty', async (t) => {
  t.deepEqual(await read(t, {}), {
    headers: {},
    dockerCredentials: {},
    policy: undefined,
    dataDirectory: undefined,
    discover: [],
  });
});

test('credentials become an Authorization header', async (t) => {
  const oauth = v1('auth', {
    domains: ['Tectonic.com:8443'],
    type: 'oauth',
    credentials: { token: 'sometoken' },
    more: 1,
  });
  const { headers } = await read(t, { 'system/auth.d/a.json': basic('coreos.com'), 'system/auth.d/b.json': oauth });
  t.deepEqual(headers, {
    'coreos.com': { Authorization: 'Basic YmFyOmJheg==' },
    'tectonic.com:8443': { Authorization: 'Bearer sometoken' },
  });
});

test('later directories replace single domains; other files and subdirectories are ignored', async (t) => {
  const { headers } = await read(t, {
    'system/auth.d/a.json': basic('endocode.com', 'system'),
    'system/auth.d/b.json': basic('coreos.com', 'system'),
    'local/auth.d/a.json': basic('endocode.com', 'local'),
    'local/auth.d/b.json': basic('tectonic.com', 'local'),
    'local/auth.d/README': 'not JSON',
    'local/auth.d/c.notjson': basic('ignored.com'),
    'local/auth.d/more/d.json': basic('ignored.com'),
    'local/stage1.d/e.json': 'not JSON',
  });
  const users = Object.entries(headers).map(([domain, { Authorization = '' }]) => {
    return `${domain} ${Buffer.from(Authorization.slice(6), 'base64').toString()}`;
  });
  t.deepEqual(users.sort(), ['coreos.com system:baz', 'endocode.com local:baz', 'tectonic.com local:baz']);
});

test('the user directory takes precedence', async (t) => {
  const data = (path: string) => v1('paths', { data: path });
  const files = {
    'system/paths.d/p.json': data('/s'),
    'local/paths.d/p.json': data('/l'),
    'user/paths.d/p.json': data('/u'),
  };
  t.is((await read(t, files)).dataDirectory, '/u');
});

test('registries have separate credentials', async (t) => {
  const { dockerCredentials, headers } = await read(t, { 'local/auth.d/d.json': docker('coreos.com') });
  t.deepEqual([dockerCredentials, headers], [{ 'coreos.com': { user: 'bar', password: 'baz' } }, {}]);
});

test('rules for discovery are read', async (t) => {
  const rule = { prefix: 'example.com/team', origin: 'https://mirror.lan:8443' };
  t.deepEqual((await read(t, { 'user/discovery.d/d.json': v1('discovery', rule) })).discover, [rule]);
});

test('symlinked files and directories are read', async (t) => {
  const { root, directories } = await configuration(t, {
    'elsewhere/a.json': basic('one.com'),
    'b.json': basic('two.com'),
  });
  await mkdir(join(root, 'local/auth.d'), { recursive: true });
  await symlink(join(root, 'b.json'), join(root, 'local/auth.d/b.json'));
  await mkdir(join(root, 'user'));
  await symlink(join(root, 'elsewhere'), join(root, 'user/auth.d'));
  t.deepEqual(Object.keys((await readConfig(directories)).headers).sort(), ['one.com', 'two.com']);
});

const auth = { domains: ['coreos.com'], type: 'basic' };
const registry = { registries: ['coreos.com'], credentials: { user: 'bar', password: 'baz' } };
const refused: readonly (readonly [folder: string, content: unknown, message: RegExp])[] = [
  ['auth.d', 'bogus', /is not JSON: /],
  [
    'auth.d',
    '{"rktKind":"auth","rktKind":"auth","rktVersion":"v1"}',
    /cannot be used: line 1, column 19: a key is there twice$/,
  ],
  ['auth.d', '{"password":hunter2}', /is not JSON: line 1, column 13$/],
  ['auth.d', {}, /no rktKind specified/],
  ['auth.d', { rktKind: '', rktVersion: 'v1' }, /no rktKind specified/],
  ['auth.d', { rktKind: 'auth' }, /no rktVersion specified/],
  ['auth.d', { rktKind: 'foo', rktVersion: 'v1' }, /kind "foo".* auth\.d .*auth or dockerAuth/],
  ['auth.d', v1('paths', {}), /kind "paths"/],
  ['paths.d', basic('a.com'), /kind "auth"/],
  ['auth.d', { ...basic('a.com'), rktVersion: 'foo' }, /no parser available .* kind "auth" and version "foo"/],
  ['auth.d', v1('auth', { type: 'basic' }), /no domains specified/],
  ['auth.d', v1('auth', { domains: 'coreos.com', type: 'basic' }), /domains: /],
  ['auth.d', v1('auth', { ...auth, domains: [], credentials: { user: 'a', password: 'b' } }), /no domains specified/],
  ['auth.d', v1('auth', { domains: ['coreos.com'] }), /no auth type specified/],
  ['auth.d', v1('auth', { domains: ['coreos.com'], type: 'foo' }), /unknown auth type/],
  ['auth.d', v1('auth', auth), /credentials/],
  ['auth.d', v1('auth', { ...auth, credentials: {} }), /user not specified/],
  ['auth.d', basic('a.com', ''), /user not specified/],
  ['auth.d', v1('auth', { ...auth, credentials: { user: 'bar' } }), /password not specified/],
  ['auth.d', basic('a.com', 'bar', ''), /password not specified/],
  ['auth.d', v1('auth', { ...auth, type: 'oauth' }), /credentials/],
  ['auth.d', v1('auth', { ...auth, type: 'oauth', credentials: {} }), /no oauth bearer token specified/],
  ['auth.d', v1('auth', { ...auth, type: 'oauth', credentials: { token: '' } }), /no oauth bearer token specified/],
  ['auth.d', v1('auth', { ...auth, type: 'oauth', credentials: { token: 'a\r\nX: y' } }), /visible ASCII/],
  ['auth.d', v1('dockerAuth', { credentials: { user: 'a', password: 'b' } }), /no registries specified/],
  [
    'auth.d',
    v1('dockerAuth', { registries: [], credentials: { user: 'a', password: 'b' } }),
    /no registries specified/,
  ],
  [
    'auth.d',
    { ...docker('coreos.com'), rktVersion: 'foo' },
    /no parser available .* kind "dockerAuth" and version "foo"/,
  ],
  ['auth.d', v1('dockerAuth', { ...registry, registries: 'coreos.com' }), /registries: /],
  ['auth.d', v1('dockerAuth', { ...registry, credentials: undefined }), /credentials/],
  ['auth.d', v1('dockerAuth', { ...registry, credentials: {} }), /user not specified/],
  ['auth.d', v1('dockerAuth', { ...registry, credentials: { user: '', password: 'b' } }), /user not specified/],
  ['auth.d', v1('dockerAuth', { ...registry, credentials: { user: 'a' } }), /password not specified/],
  ['auth.d', v1('dockerAuth', { ...registry, credentials: { user: 'a', password: '' } }), /password not specified/],
  ['paths.d', 'bogus', /is not JSON: /],
  ['paths.d', { rktKind: 'paths' }, /no rktVersion specified/],
  ['paths.d', { rktKind: 'foo', rktVersion: 'v1' }, /kind "foo".* paths\.d /],
  ['paths.d', { rktKind: 'paths', rktVersion: 'foo' }, /no parser available .* kind "paths" and version "foo"/],
  ['paths.d', v1('paths', { data: 'relative' }), /data directory must be an absolute path/],
  ['paths.d', v1('paths', { data: '/a\0b' }), /data directory must be an absolute path/],
  ['policy.d', v1('policy', { file: '/a\0b' }), /file must be an absolute path/],
  ['paths.d', v1('paths', { 'stage1-images': 'x' }), /stage1 images directory must be an absolute path/],
  ['discovery.d', v1('discovery', { prefix: 'Example.com', origin: 'https://m' }), /not a prefix/],
  ['discovery.d', v1('discovery', { prefix: 'example.com', origin: 'https://m/path' }), /want an origin/],
  ['discovery.d', v1('discovery', { prefix: 'example.com' }), /no origin specified/],
];

for (const [index, [folder, content, message]] of refused.entries()) {
  test(`${folder} ${index}: ${message.source}`, async (t) => {
    const error = await t.throwsAsync(read(t, { [`local/${folder}/bad.json`]: content }));
    t.true(hasCode(error, 'CONFIG_INVALID') && error.details.path.endsWith(`local/${folder}/bad.json`));
    t.regex(error.message, message);
    t.regex(error.message, /^".*bad\.json": /);
  });
}

test('paths of kind and version alone, and with both, are accepted', async (t) => {
  t.is((await read(t, { 'local/paths.d/p.json': v1('paths', {}) })).dataDirectory, undefined);
  const both = v1('paths', { data: '/dir1', 'stage1-images': '/dir2' });
  t.is((await read(t, { 'local/paths.d/p.json': both })).dataDirectory, '/dir1');
});

for (const [what, folder, one, message] of [
  ['domain', 'auth.d', basic('a.com'), /auth for domain "a\.com" is already specified/],
  ['registry', 'auth.d', docker('a.com'), /credentials for docker registry "a\.com" are already specified/],
  ['data directory', 'paths.d', v1('paths', { data: '/d' }), /data directory is already specified/],
] as const) {
  test(`a ${what} twice in one directory is refused, in the second file`, async (t) => {
    const error = await t.throwsAsync(read(t, { [`local/${folder}/1.json`]: one, [`local/${folder}/2.json`]: one }));
    t.true(hasCode(error, 'CONFIG_INVALID') && error.details.path.endsWith('2.json'));
    t.regex(error.message, message);
  });
}

test('a file in the place of a directory is refused', async (t) => {
  const error = await t.throwsAsync(read(t, { 'local/auth.d': 'a file' }));
  t.true(hasCode(error, 'CONFIG_INVALID'));
  t.regex(error.message, /expected to be a directory/);
});

test('no message contains a credential', async (t) => {
  const secret = v1('auth', { domains: ['a.com'], type: 'oauth', credentials: { token: 'se cret' } });
  const error = await t.throwsAsync(read(t, { 'local/auth.d/a.json': secret }));
  t.notRegex(error.message, /cret/);
});
