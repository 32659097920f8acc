import { randomBytes } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { setTimeout } from 'node:timers/promises';

import test, { type ExecutionContext } from 'ava';

import { uploadBlob } from '../../src/push/upload-blob.ts';
import { type Ask, type PushTarget, startPushTarget } from '../helpers/push-target.ts';
import { openTestClient } from '../helpers/registry-client.ts';
import { answered, chunkBytes, openUpload, signal, size } from '../helpers/upload.ts';

/** Begins to read a body only once no more of it arrives. */
const takeSlowly = async ({ request }: Ask): Promise<false> => {
  for (let [before, now] = [-1, request.socket.bytesRead]; now > before;) {
    await setTimeout(20);
    [before, now] = [now, request.socket.bytesRead];
  }
  return false;
};

const errors = (code: string, message = ''): string => JSON.stringify({ errors: [{ code, message }] });

test('bytes that a slow registry has not taken yet are not written over by later ones', async (t) => {
  const bytes = randomBytes(12_000_000);
  for (const https of [false, true]) {
    const { target, upload, stored } = await openUpload(t, { https, intercept: takeSlowly }, 0, bytes);
    await upload();
    t.true(stored());
    // memory of the first upload is used by the second one
    target.blobs.clear();
    await upload({ chunkBytes: 5_000_000 });
    t.true(stored());
  }
});

test('a blob is sent in one piece, and a large one in chunks', async (t) => {
  const whole = await openUpload(t);
  await whole.upload();
  t.true(whole.stored());
  t.deepEqual([whole.target.asked('PATCH').length, whole.target.asked('PUT').length], [0, 1]);
  const large = await openUpload(t);
  await large.upload({ chunkBytes });
  t.true(large.stored());
  t.deepEqual([large.target.asked('PATCH').length, large.target.asked('PUT').length, large.sent()], [4, 1, size]);
});

/** Takes some of a body, and cuts the connection. */
async function cut({ request }: Ask, take: (bytes: Buffer) => void): Promise<true> {
  for await (const chunk of request as AsyncIterable<Buffer>) {
    take(chunk);
    break;
  }
  request.socket.destroy();
  return true;
}

test('after a broken connection a chunked upload goes on where the registry is', async (t) => {
  let patches = 0;
  const upload = await openUpload(t, {
    intercept(ask) {
      if (ask.method !== 'PATCH' || (patches += 1) !== 3) return false;
      const { uploads } = upload.target;
      const before = uploads.get(ask.url.pathname) ?? Buffer.alloc(0);
      return cut(ask, (bytes) => void uploads.set(ask.url.pathname, Buffer.concat([before, bytes])));
    },
  });
  await upload.upload({ chunkBytes });
  t.true(upload.stored());
  t.is(upload.target.asked('POST').length, 1);
  t.is(upload.target.asked('GET', /uploads/).length, 1);
  t.true(upload.sent() <= size + chunkBytes, String(upload.sent()));
});

test('a token that expires during a chunked upload is replaced, and the upload goes on where it was', async (t) => {
  const sent: (string | undefined)[] = [];
  let valid = 1;
  const upload = await openUpload(t, {
    async intercept({ method, url, request, response }) {
      const json = { 'content-type': 'application/json' };
      if (url.pathname === '/token') return answered(response, 200, json, JSON.stringify({ token: `token-${valid}` }));
      if (method === 'PATCH') sent.push(request.headers.authorization);
      if (sent.length === 3 && method === 'PATCH') valid = 2;
      if (request.headers.authorization === `Bearer token-${valid}`) return false;
      await buffer(request);
      const challenge = `Bearer realm="${upload.target.url}/token",service="registry",scope="repository:app:pull,push"`;
      return answered(response, 401, { ...json, 'www-authenticate': challenge }, errors('UNAUTHORIZED'));
    },
  });
  await upload.upload({ chunkBytes });
  t.true(upload.stored());
  t.deepEqual(
    sent,
    [1, 1, 1, 2, 2].map((token) => `Bearer token-${token}`),
  );
  t.is(upload.sent(), size + chunkBytes, 'only the chunk that was refused is sent again');
  t.deepEqual([upload.target.asked('POST').length, upload.target.asked('GET', /uploads/).length], [1, 0]);
});

test('it begins again where the registry does not say how much it has', async (t) => {
  let patches = 0;
  const upload = await openUpload(t, {
    intercept(ask) {
      if (ask.method === 'GET' && ask.url.pathname.includes('uploads')) return answered(ask.response, 204);
      return ask.method === 'PATCH' && (patches += 1) === 3 && cut(ask, () => undefined);
    },
  });
  await upload.upload({ chunkBytes });
  t.true(upload.stored());
  t.is(upload.target.asked('POST').length, 2);
});

test('a cut upload of one piece begins again with a new session', async (t) => {
  let puts = 0;
  const upload = await openUpload(t, {
    intercept: (ask) => ask.method === 'PUT' && (puts += 1) === 1 && cut(ask, () => undefined),
  });
  await upload.upload();
  t.true(upload.stored());
  t.is(upload.target.asked('POST').length, 2);
});

for (const status of [404, 405, 415, 501]) {
  test(`a registry that answers chunks with ${status} gets the blob in one piece`, async (t) => {
    const upload = await openUpload(t, {
      intercept: ({ method, response }) => method === 'PATCH' && answered(response, status, {}, errors('UNSUPPORTED')),
    });
    await upload.upload({ chunkBytes });
    t.true(upload.stored());
    t.is(upload.target.asked('PATCH').length, 1);
  });
}

for (const status of [404, 416]) {
  test(`an upload that the registry has forgotten (${status}) begins again, and a few times only`, async (t) => {
    let puts = 0;
    const once = await openUpload(t, {
      intercept: ({ method, response }) => method === 'PUT' && (puts += 1) === 1 && answered(response, status),
    });
    await once.upload();
    t.true(once.stored());
    const always = await openUpload(t, {
      intercept: ({ method, response }) => method === 'PUT' && answered(response, status),
    });
    const error = await t.throwsAsync(always.upload());
    t.like(error, { code: 'HTTP_STATUS', details: { status } });
    t.is(always.target.asked('POST').length, 4);
  });
}

const locations: Readonly<Record<string, (path: string) => string>> = {
  'a relative path': (path) => path.replace(/^.*\//, ''),
  'a path with a query': (path) => `${path}?_state=a%2Fb%20c`,
  'an absolute path': (path) => path,
};
for (const [what, location] of Object.entries(locations)) {
  test(`an upload goes on at ${what}`, async (t) => {
    const upload = await openUpload(t, { location });
    await upload.upload({ chunkBytes });
    t.true(upload.stored());
    const [put = ''] = upload.target.asked('PUT');
    t.is(put.includes('_state=a%2Fb%20c&digest='), what.includes('query'));
  });
}

/** A place beside the registry that takes uploads. */
async function startElsewhere(t: ExecutionContext, target: () => PushTarget, https = false): Promise<PushTarget> {
  return startPushTarget(t, {
    https,
    async intercept({ url, request, response }) {
      const digest = url.searchParams.get('digest') ?? '';
      target().blobs.set(`app@${digest}`, await buffer(request));
      return answered(response, 201, { 'docker-content-digest': digest });
    },
  });
}

test('an upload at another host is sent there without credentials', async (t) => {
  const elsewhere = await startElsewhere(t, () => upload.target);
  const upload = await openUpload(t, {
    location: (path) => `${elsewhere.url}${path}`,
    intercept: ({ request, response }) =>
      request.headers.authorization === undefined &&
      answered(response, 401, { 'www-authenticate': 'Basic realm="r"' }, errors('UNAUTHORIZED')),
  });
  const credentials = () => Promise.resolve({ kind: 'basic', user: 'u', password: 'p' } as const);
  const client = openTestClient(t, { credentials });
  const step = { place: { host: upload.target.host, repository: 'app' }, observer: {} };
  const asked = { blob: { digest: upload.digest, size }, session: undefined, chunking: { isRefused: false } };
  await uploadBlob({ ...upload.context, client }, step, { ...asked, onBytes: () => undefined }, signal);
  t.true(upload.stored());
  t.is(elsewhere.requests.length, 1);
  t.is(elsewhere.requests[0]?.headers.authorization, undefined);
});

test('an upload is not sent from https to http; a registry that calls itself http is asked over https all the same', async (t) => {
  const elsewhere = await startElsewhere(t, () => refused.target);
  const refused = await openUpload(t, { https: true, location: (path) => `${elsewhere.url}${path}` });
  await t.throwsAsync(refused.upload(), { code: 'REDIRECT_REFUSED' });
  t.is(elsewhere.requests.length, 0);
  const upload = await openUpload(t, { https: true, location: (path) => `http://${upload.target.host}${path}` });
  await upload.upload({ chunkBytes });
  t.true(upload.stored());
});

test('a Location that is missing or no URL of the web is an invalid answer', async (t) => {
  for (const [location, code] of Object.entries({
    'ftp://127.0.0.1/x': 'RESPONSE_INVALID',
    'http://user:secret@127.0.0.1/x': 'REDIRECT_REFUSED',
    '': 'RESPONSE_INVALID',
  })) {
    const upload = await openUpload(t, {
      intercept: ({ method, response }) =>
        method === 'POST' && answered(response, 202, location === '' ? {} : { location }),
    });
    const error = await t.throwsAsync(upload.upload());
    t.like(error, { code });
    t.false(error?.message.includes('secret'));
  }
});

test('a registry that has stored something else is found out', async (t) => {
  const other = `sha256:${'0'.repeat(64)}`;
  const named = await openUpload(t, {
    intercept: ({ method, response }) =>
      method === 'PUT' && answered(response, 201, { 'docker-content-digest': other }),
  });
  t.like(await t.throwsAsync(named.upload()), { code: 'DIGEST_MISMATCH', details: { found: other } });
  const missing = await openUpload(t, {
    intercept: ({ method, response }) => method === 'PUT' && answered(response, 201),
  });
  t.like(await t.throwsAsync(missing.upload()), { code: 'DIGEST_MISMATCH' });
  const shorter = await openUpload(t, {
    intercept: ({ method, response }) =>
      (method === 'PUT' && answered(response, 201)) ||
      (method === 'HEAD' && answered(response, 200, { 'content-length': '7' })),
  });
  t.like(await t.throwsAsync(shorter.upload()), { code: 'SIZE_MISMATCH', details: { asked: size, found: 7 } });
});

const refusals: readonly (readonly [number, string, string, string])[] = [
  [413, 'SIZE_INVALID', 'too large', 'size'],
  [507, 'DENIED', 'disk is full', 'quota'],
  [403, 'DENIED', 'adding 1 MiB exceeds the quota of the project', 'quota'],
];
for (const [status, code, message, reason] of refusals) {
  test(`${status} ${message}: the registry does not take it, and is not asked again`, async (t) => {
    const upload = await openUpload(t, {
      async intercept({ method, request, response }) {
        if (method !== 'PUT') return false;
        await buffer(request);
        return answered(response, status, { 'content-type': 'application/json' }, errors(code, message));
      },
    });
    const error = await t.throwsAsync(upload.upload());
    t.like(error, { code: 'PUSH_REFUSED', details: { status, reason, repository: 'app' } });
    t.regex(error?.message ?? '', new RegExp(message));
    t.is(upload.target.asked('PUT').length, 1);
  });
}

test('a registry that answers before it has read the body is heard', async (t) => {
  const upload = await openUpload(t, {
    intercept({ method, request, response }) {
      if (method !== 'PUT') return false;
      response.once('finish', () => request.resume()); // it is read to its end, and thrown away
      return answered(response, 413, {}, errors('SIZE_INVALID', 'too large'));
    },
  });
  t.like(await t.throwsAsync(upload.upload()), { code: 'PUSH_REFUSED', details: { reason: 'size' } });
});

test('a busy registry is asked again, after the time that it wants', async (t) => {
  let puts = 0;
  const upload = await openUpload(t, {
    async intercept({ method, request, response }) {
      if (method !== 'PUT' || (puts += 1) > 2) return false;
      await buffer(request);
      return answered(response, puts === 1 ? 429 : 503, { 'retry-after': '1' });
    },
  });
  await upload.upload();
  t.true(upload.stored());
});

test('a registry that has taken a chunk and miscounts gets that blob and all later ones in one piece', async (t) => {
  const counts: readonly ((from: number, to: number) => string)[] = [
    (_, to) => `0-${to}`, // one byte too many
    () => `0-${chunkBytes - 1}`, // always the first chunk
    (from, to) => `0-${to - from - 1}`, // the last chunk alone
    () => '0-999999999',
    () => '0-0',
  ];
  for (const count of counts) {
    let taken = 0;
    const { target, upload, stored } = await openUpload(
      t,
      {
        async intercept({ method, request, response, url }) {
          if (method !== 'PATCH') return false;
          const { length } = await buffer(request);
          const range = count(taken, (taken += length));
          return answered(response, 202, { location: url.pathname, range });
        },
      },
      0,
    );
    await upload({ chunkBytes });
    t.true(stored());
    target.blobs.clear();
    const patches = target.asked('PATCH').length;
    await upload({ chunkBytes });
    t.true(stored());
    t.is(target.asked('PATCH').length, patches);
  }
});
