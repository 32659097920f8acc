import { gzipSync } from 'node:zlib';

import test from 'ava';

import { hasCode, ImageError } from '../../src/errors.ts';
import { parseRegistryReference } from '../../src/image/registry-reference.ts';
import type { RegistryClient } from '../../src/registry/client.ts';
import { resolveImage } from '../../src/registry/resolve.ts';
import type { RegistryCredential } from '../../src/registry/types.ts';
import { refusal, startRegistry, type TestRegistry, types } from '../helpers/registry.ts';
import { basic, openTestClient } from '../helpers/registry-client.ts';
import { startServer } from '../helpers/server.ts';

const signal = AbortSignal.timeout(600_000);
const platform = { os: 'linux', architecture: 'amd64' };
const resolve = (client: RegistryClient, { host }: TestRegistry, name = 'team/app:1') =>
  resolveImage(client, parseRegistryReference(`docker://${host}/${name}`), { platform }, signal);
const denied = (challenge: string) => refusal(401, 'UNAUTHORIZED', 'who are you', { 'www-authenticate': challenge });
const having = (credential: RegistryCredential | undefined) => ({ credentials: () => Promise.resolve(credential) });
const userSecret = `Basic ${Buffer.from('user:secret').toString('base64')}`;
const tokenRequests = ({ requests }: TestRegistry) => requests.filter(({ url }) => url.startsWith('/token'));

type Tokens = { readonly registry: TestRegistry; valid: string };

/** A registry that lets in who has the valid token, which its own token server hands out. */
async function startTokenRegistry(
  t: Parameters<typeof startRegistry>[0],
  { https = false, challenge = '' } = {},
): Promise<Tokens> {
  const state = { valid: 'good' };
  const registry = await startRegistry(t, {
    https,
    guard: ({ headers }) => {
      if (headers.authorization === `Bearer ${state.valid}`) return undefined;
      return denied(challenge || `Bearer realm="${registry.url}/token?x=1",service="the service"`);
    },
  });
  registry.routes['/token'] = { handler: (_, response) => void response.end(JSON.stringify({ token: state.valid })) };
  registry.putImage('team/app', '1');
  return Object.assign(state, { registry });
}

test('a request without credentials gets a token from the token server that the registry names', async (t) => {
  const { registry } = await startTokenRegistry(t);
  await resolve(openTestClient(t), registry);
  const [asked, ...others] = tokenRequests(registry);
  t.is(others.length, 0);
  t.is(asked?.headers.authorization, undefined);
  const query = new URL(asked?.url ?? '', registry.url).searchParams;
  t.deepEqual(
    [...query],
    [
      ['x', '1'],
      ['service', 'the service'],
      ['scope', 'repository:team/app:pull'],
    ],
  );
});

test('name and password are sent to the token server only, and the token to the registry', async (t) => {
  const { registry } = await startTokenRegistry(t, { https: true });
  await resolve(openTestClient(t, { ...having(basic()), http: { ca: [registry.ca] } }), registry);
  const [asked] = tokenRequests(registry);
  t.is(asked?.headers.authorization, userSecret);
  t.is(new URL(asked?.url ?? '', registry.url).searchParams.get('account'), 'user');
  t.deepEqual(
    registry.requests.filter(({ url }) => url.startsWith('/v2/')).map(({ headers }) => headers.authorization),
    [undefined, 'Bearer good'],
  );
});

test('an identity token is exchanged by a form', async (t) => {
  const { registry } = await startTokenRegistry(t);
  registry.routes['/token'] = { body: JSON.stringify({ access_token: 'good', expires_in: 300 }) };
  await resolve(openTestClient(t, having({ kind: 'identity', token: 'r&t' })), registry);
  const [asked] = tokenRequests(registry);
  t.is(asked?.method, 'POST');
  t.is(asked?.headers['content-type'], 'application/x-www-form-urlencoded');
  t.deepEqual(Object.fromEntries(new URLSearchParams(asked?.content)), {
    grant_type: 'refresh_token',
    client_id: 'longshore',
    service: 'the service',
    scope: 'repository:team/app:pull',
    refresh_token: 'r&t',
  });
});

test('a token may be in either member, with the other null or empty, in an answer coded with gzip', async (t) => {
  const nothing = { expires_in: null, issued_at: null };
  const coded = await startTokenRegistry(t);
  const headers = { 'content-encoding': 'gzip' };
  coded.registry.routes['/token'] = { body: gzipSync('{"token":"good"}'), headers };
  await t.notThrowsAsync(resolve(openTestClient(t), coded.registry));
  for (const body of [
    { access_token: 'good' },
    { token: null, access_token: 'good' },
    { token: '', access_token: 'good' },
    { token: 'good', access_token: null, ...nothing },
  ]) {
    const { registry } = await startTokenRegistry(t);
    registry.routes['/token'] = { body: JSON.stringify(body) };
    await t.notThrowsAsync(resolve(openTestClient(t), registry));
  }
});

test('a token of the configuration is used as it is', async (t) => {
  const { registry } = await startTokenRegistry(t);
  await resolve(openTestClient(t, having({ kind: 'bearer', token: 'good' })), registry);
  t.is(tokenRequests(registry).length, 0);
});

test('a registry that requires name and password gets them, if there are any', async (t) => {
  const registry = await startRegistry(t, {
    guard: ({ headers }) => (headers.authorization === userSecret ? undefined : denied('Negotiate, Basic realm="x"')),
  });
  registry.putImage('team/app', '1');
  await t.notThrowsAsync(resolve(openTestClient(t, having(basic())), registry));
  const wrong = await t.throwsAsync(resolve(openTestClient(t, having(basic('user', 'wrong'))), registry));
  t.like(wrong, { code: 'AUTH_DENIED', details: { host: registry.host } });
  t.regex(wrong?.message ?? '', /who are you/);
  t.notRegex(wrong?.message ?? '', /wrong/);
  t.true(hasCode(await t.throwsAsync(resolve(openTestClient(t), registry)), 'AUTH_REQUIRED'));
});

test('many images of one repository share one token, and each repository has its own', async (t) => {
  const { registry } = await startTokenRegistry(t);
  registry.putImage('team/app', '2');
  registry.putImage('team/other', '1');
  const client = openTestClient(t);
  await Promise.all(
    ['team/app:1', 'team/app:2', 'team/other:1', 'team/app:1'].map((name) => resolve(client, registry, name)),
  );
  t.is(tokenRequests(registry).length, 2);
  t.is(registry.requests.filter(({ url }) => url === '/v2/').length, 1);
});

test('a token that expires during a run is replaced, once for all requests', async (t) => {
  const tokens = await startTokenRegistry(t);
  const client = openTestClient(t);
  await resolve(client, tokens.registry);
  tokens.valid = 'better';
  await Promise.all([1, 2, 3].map(() => resolve(client, tokens.registry)));
  t.is(tokenRequests(tokens.registry).length, 2);
});

test('a token is not used after it expires', async (t) => {
  const { registry } = await startTokenRegistry(t);
  let now = 0;
  const client = openTestClient(t, { nowMs: () => now });
  await resolve(client, registry);
  now = 54_000;
  await resolve(client, registry);
  t.is(tokenRequests(registry).length, 1);
  now = 56_000;
  await resolve(client, registry);
  t.is(tokenRequests(registry).length, 2);
});

test('a scope that only the refusal of a request names is requested too', async (t) => {
  const registry = await startRegistry(t, {
    guard: ({ url, headers }) => {
      const scope = url === '/v2/' ? '' : ',scope="repository:team/app:pull repository:base:pull"';
      return headers.authorization === 'Bearer wide' ? undefined : denied(`Bearer realm="/token"${scope}`);
    },
  });
  registry.putImage('team/app', '1');
  registry.routes['/token'] = {
    handler: ({ url = '' }, response) =>
      void response.end(JSON.stringify({ token: url.includes('base') ? 'wide' : 'narrow' })),
  };
  await resolve(openTestClient(t), registry);
  const scopes = tokenRequests(registry).map(({ url }) => new URL(url, registry.url).searchParams.getAll('scope'));
  t.deepEqual(scopes, [['repository:team/app:pull'], ['repository:team/app:pull', 'repository:base:pull']]);
});

test('a registry that always refuses gets one more try', async (t) => {
  const { registry } = await startTokenRegistry(t);
  let count = 0;
  registry.routes['/token'] = {
    handler: (_, response) => void response.end(JSON.stringify({ token: `t${(count += 1)}` })),
  };
  t.true(hasCode(await t.throwsAsync(resolve(openTestClient(t), registry)), 'AUTH_REQUIRED'));
  t.true(hasCode(await t.throwsAsync(resolve(openTestClient(t, having(basic())), registry)), 'AUTH_DENIED'));
  t.is(registry.requests.filter(({ url }) => url.includes('/manifests/')).length, 4);
  t.is(count, 4);
});

test('a 403 is final and not tried again', async (t) => {
  const registry = await startRegistry(t, {
    guard: ({ url }) => (url?.includes('/manifests/') ? refusal(403, 'DENIED', 'not yours') : undefined),
  });
  const error = await t.throwsAsync(resolve(openTestClient(t, having(basic())), registry));
  t.true(hasCode(error, 'AUTH_DENIED'));
  t.regex(error?.message ?? '', /DENIED: not yours/);
  t.is(registry.requests.length, 2);
});

for (const [what, realm] of Object.entries({
  'over http, of a registry of https': 'http://127.0.0.1:9/token',
  'of another scheme': 'file:///etc/passwd',
  'with a password': 'https://user:hunter2@127.0.0.1:9/token',
  'that is no URL': 'https://',
  'that is missing': '',
})) {
  test(`a token server ${what} is not asked`, async (t) => {
    const { registry } = await startTokenRegistry(t, { https: true, challenge: `Bearer realm="${realm}",service="s"` });
    const client = openTestClient(t, { ...having(basic()), http: { ca: [registry.ca] } });
    const error = await t.throwsAsync(resolve(client, registry));
    t.true(hasCode(error, 'AUTH_DENIED'), `${error}`);
    t.notRegex(error?.message ?? '', /hunter2|secret/);
  });
}

test('a redirect of a token server to another host is not followed', async (t) => {
  const other = await startServer(t, { '/': { body: '{"token":"good"}' } });
  const { registry } = await startTokenRegistry(t);
  for (const status of [302, 307]) {
    registry.routes['/token'] = { status, headers: { location: other.url } };
    t.true(hasCode(await t.throwsAsync(resolve(openTestClient(t, having(basic())), registry)), 'AUTH_DENIED'));
    const identity = having({ kind: 'identity', token: 'refresh' });
    t.true(hasCode(await t.throwsAsync(resolve(openTestClient(t, identity), registry)), 'AUTH_DENIED'));
  }
  t.is(other.requests.length, 0);
});

test('a token server that refuses, answers too much, or answers without a token', async (t) => {
  const { registry } = await startTokenRegistry(t);
  const answer = (route: object) => {
    registry.routes['/token'] = route;
    return t.throwsAsync(resolve(openTestClient(t, having(basic())), registry));
  };
  const no = await answer({ status: 401, body: '{"details":"incorrect \\u001bpassword"}' });
  t.true(hasCode(no, 'AUTH_DENIED'));
  t.regex(no?.message ?? '', /incorrect \\x1bpassword/);
  t.like(await answer({ body: Buffer.alloc(100_000), chunked: true }), {
    code: 'LIMIT_EXCEEDED',
    details: { limit: 'token' },
  });
  for (const body of ['', '{}', '<html>', '{"token":"a b"}', '{"token":"a\\r\\nx: y"}', '[]']) {
    t.true(hasCode(await answer({ body }), 'RESPONSE_INVALID'), body);
  }
});

test('credentials follow no redirect of a manifest to another host', async (t) => {
  const { registry } = await startTokenRegistry(t);
  const body = JSON.stringify(registry.putImage('team/app', '1').manifest);
  const other = await startServer(t, { '/m': { body, headers: { 'content-type': types.manifest } } });
  registry.routes['/v2/team/app/manifests/1'] = { status: 307, headers: { location: `${other.url}/m` } };
  await resolve(openTestClient(t, having(basic())), registry);
  t.is(other.requests[0]?.headers.authorization, undefined);
});

test('headers configured for discovery are not sent to a registry', async (t) => {
  const registry = await startRegistry(t, { https: true });
  registry.putImage('team/app', '1');
  const http = { ca: [registry.ca], credentials: () => ({ authorization: 'Bearer discovery' }) };
  await resolve(openTestClient(t, { http }), registry);
  t.true(registry.requests.every(({ headers }) => headers.authorization === undefined));
});

test('an aborted request does not wait for a credential helper', async (t) => {
  const { registry } = await startTokenRegistry(t);
  for (const challenge of ['Basic realm="x"', `Bearer realm="${registry.url}/token"`]) {
    const asking = await startRegistry(t, { guard: () => denied(challenge) });
    const stop = new AbortController();
    const credentials = () => {
      stop.abort(new Error('enough'));
      return new Promise<never>(() => undefined);
    };
    const client = openTestClient(t, { credentials });
    const reference = parseRegistryReference(`docker://${asking.host}/team/app:1`);
    await t.throwsAsync(resolveImage(client, reference, { platform }, stop.signal), { message: 'enough' });
  }
});

test('unavailable credentials fail the image that needs them', async (t) => {
  const { registry } = await startTokenRegistry(t);
  const credentials = () => Promise.reject(new Error('helper'));
  await t.throwsAsync(resolve(openTestClient(t, { credentials }), registry), { message: 'helper' });
  const cause = new ImageError('CONFIG_INVALID', 'a bad file', { path: 'a' });
  const broken = openTestClient(t, { credentials: () => Promise.reject(cause) });
  const error = await t.throwsAsync(resolve(broken, registry));
  t.like(error, { code: 'AUTH_REQUIRED', cause }); // CONFIG_INVALID is for runs in which nothing was tried
  t.regex(error?.message ?? '', /are not available: a bad file$/);
});
