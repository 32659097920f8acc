import { buffer } from 'node:stream/consumers';

import test, { type ExecutionContext } from 'ava';

import { codesOf } from '../helpers/fetching.ts';
import type { Ask, TargetOptions } from '../helpers/push-target.ts';
import { openPushing } from '../helpers/pushing.ts';

const errors = (code: string, message = ''): string => JSON.stringify({ errors: [{ code, message }] });

async function answer(
  { request, response }: Ask,
  status: number,
  body = '',
  headers: Record<string, string> = {},
): Promise<true> {
  await buffer(request);
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body);
  return true;
}

const isManifest = ({ method, url }: Ask, wanted: string): boolean =>
  method === wanted && url.pathname.includes('/manifests/');

/** Pushes one image to a registry of a kind. */
async function pushTo(t: ExecutionContext, options: TargetOptions, settings = {}) {
  const pushing = await openPushing(t, options);
  const { registry, reference, fetch, push, target } = pushing;
  const { digest } = registry.putImage('team/app', '1', { layers: ['one', 'two'] });
  await fetch(reference('team/app:1'));
  const { outcomes, totals } = await push([reference('team/app:1')], {}, settings);
  return { ...pushing, digest, target, totals, outcome: outcomes[0] };
}

const refusals: readonly (readonly [string, number, string, string])[] = [
  ['MANIFEST_INVALID', 400, 'manifest invalid', 'type'],
  ['UNSUPPORTED', 415, 'unsupported media type', 'type'],
  ['TAG_INVALID', 400, 'the tag is immutable and already exists', 'tag'],
  ['DENIED', 403, 'tag 1 is immutable: cannot be overwritten', 'tag'],
  ['MANIFEST_INVALID', 413, 'too large', 'size'],
  ['DENIED', 403, 'quota exceeded', 'quota'],
];
for (const [code, status, message, reason] of refusals) {
  test(`a manifest that is refused by ${status} ${code}, ${message}, says so: ${reason}`, async (t) => {
    const { outcome, target } = await pushTo(t, {
      intercept: (ask) => isManifest(ask, 'PUT') && answer(ask, status, errors(code, message)),
    });
    t.like(outcome, { status: 'failed', error: { code: 'PUSH_REFUSED', details: { status, reason } } });
    t.is(target.asked('PUT', /manifests/).length, 1);
    if (reason === 'type') t.regex(outcome?.error?.message ?? '', /does not take OCI manifests/);
  });
}

test('a registry that answers another digest for a manifest has not stored it', async (t) => {
  const found = `sha256:${'1'.repeat(64)}`;
  const { outcome } = await pushTo(t, {
    intercept: (ask) => isManifest(ask, 'PUT') && answer(ask, 201, '', { 'docker-content-digest': found }),
  });
  t.like(outcome, { status: 'failed', error: { code: 'DIGEST_MISMATCH', details: { found } } });
});

test('a registry that does not say what it has stored is asked for it, and its bytes are hashed', async (t) => {
  let stored = Buffer.alloc(0);
  const options: TargetOptions = {
    async intercept(ask) {
      if (isManifest(ask, 'HEAD')) return answer(ask, stored.length > 0 ? 200 : 404);
      if (isManifest(ask, 'GET')) return answer(ask, 200, stored.toString());
      if (!isManifest(ask, 'PUT')) return false;
      stored = await buffer(ask.request);
      if (isLying) stored = Buffer.from(`${stored.toString()} `);
      ask.response.writeHead(201).end();
      return true;
    },
  };
  let isLying = false;
  const honest = await pushTo(t, options);
  t.is(honest.outcome?.status, 'pushed');
  [isLying, stored] = [true, Buffer.alloc(0)];
  const lying = await pushTo(t, options);
  t.deepEqual(codesOf(lying.outcome ?? {}), ['DIGEST_MISMATCH']);
});

test('a failed manifest is put again, with all its bytes', async (t) => {
  let puts = 0;
  const { outcome, totals } = await pushTo(
    t,
    { intercept: (ask) => isManifest(ask, 'PUT') && (puts += 1) === 1 && answer(ask, 502) },
    { retries: 1 },
  );
  t.is(outcome?.status, 'pushed');
  t.is(totals.retries, 1);
});

/** A registry with a token server, which lets each token be used a few times. */
function tokenRegistry(uses: number) {
  const scopes: string[] = [];
  let [token, left] = [0, 0];
  const intercept = async (ask: Ask): Promise<boolean> => {
    const { url, request } = ask;
    if (url.pathname === '/token') {
      scopes.push(url.searchParams.getAll('scope').join(' '));
      [token, left] = [token + 1, uses];
      return answer(ask, 200, JSON.stringify({ token: `t${token}` }));
    }
    if (request.headers.authorization === `Bearer t${token}` && left > 0) {
      left -= 1;
      return false;
    }
    const realm = `Bearer realm="http://${request.headers.host ?? ''}/token",service="s"`;
    return answer(ask, 401, errors('UNAUTHORIZED'), { 'www-authenticate': realm });
  };
  return { scopes, options: { intercept } };
}

test('a token is for pulling and pushing, and another one is asked for when it has expired in between', async (t) => {
  const { scopes, options } = tokenRegistry(3);
  const { outcome } = await pushTo(t, options, { jobs: 1 });
  t.is(outcome?.status, 'pushed');
  t.true(scopes.length > 2);
  t.deepEqual(new Set(scopes), new Set(['repository:team/app:pull,push']));
});

test('the token of a mount is for the repository that has the blob as well', async (t) => {
  const { scopes, options } = tokenRegistry(1000);
  const { registry, reference, fetch, push } = await openPushing(t, options);
  for (const name of ['a', 'b']) registry.putImage(`team/${name}`, '1', { layers: ['shared'] });
  for (const name of ['a', 'b']) await fetch(reference(`team/${name}:1`));
  const { totals } = await push(
    ['a', 'b'].map((name) => reference(`team/${name}:1`)),
    {},
    { jobs: 1 },
  );
  t.is(totals.pushed, 2);
  t.true(scopes.some((scope) => /^repository:team\/([ab]):pull,push repository:team\/(?!\1)[ab]:pull$/.test(scope)));
});

test('a registry that wants other credentials fails the image, and what it says is passed on', async (t) => {
  const { outcome, target } = await pushTo(t, {
    intercept: (ask) =>
      ask.method === 'POST' && answer(ask, 403, errors('DENIED', 'requested access to the resource is denied')),
  });
  t.like(outcome, { status: 'failed', error: { code: 'AUTH_REQUIRED' } });
  t.regex(outcome?.error?.message ?? '', /requested access to the resource is denied/);
  t.is(target.manifests.size, 0);
});

test('no mirror is asked or pushed to', async (t) => {
  const pushing = await openPushing(t);
  const mirror = await openPushing(t);
  const { registry, reference, fetch, push, target } = pushing;
  registry.putImage('team/app', '1');
  await fetch(reference('team/app:1'));
  const mirrors = [{ prefix: target.host, mirrors: [{ origin: mirror.target.url, resolves: true }] }];
  t.is((await push([reference('team/app:1')], {}, { mirrors })).totals.pushed, 1);
  t.deepEqual(mirror.target.requests, []);
  const blocked = await push(
    [reference('team/app:1')],
    {},
    { mirrors: [{ prefix: target.host, blocked: true, mirrors: [] }] },
  );
  t.deepEqual(codesOf(blocked.outcomes[0] ?? {}), ['INSECURE_REFUSED']);
});
