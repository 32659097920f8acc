import test, { type ExecutionContext } from 'ava';

import { codesOf, openFetching } from '../helpers/fetching.ts';
import { openGpg } from '../helpers/keys.ts';
import { type Origin, startOrigin } from '../helpers/origin.ts';
import type { ServerOptions } from '../helpers/server.ts';
import { openTrust } from '../helpers/trust.ts';

const gpg = await openGpg();
const key = await gpg.createKey();
test.after.always(() => gpg.close());

const name = 'example.com/app';
const basic = `Basic ${Buffer.from('bar:baz').toString('base64')}`;
const bearer = 'Bearer sometoken';

/** A signed image at an origin that refuses with `refusal` whatever `admits` does not let in, and a store that verifies. */
async function guarded(
  t: ExecutionContext,
  options: ServerOptions,
  refusal: number,
  admits: (authorization: string | undefined) => boolean,
) {
  const origin = await startOrigin(t, { ...options, sign: (bytes) => gpg.sign(key, bytes) });
  const published = await origin.publish({ name, version: '1' });
  for (const [path, { body }] of Object.entries(origin.routes)) {
    origin.routes[path] = {
      handler: ({ headers }, response) => {
        if (admits(headers.authorization)) response.end(body);
        else response.writeHead(refusal).end();
      },
    };
  }
  const keystore = await openTrust(t, gpg, { 'example.com': key });
  const fetching = await openFetching(t, { keystore, discover: origin.discover, ca: origin.ca ? [origin.ca] : [] });
  const fetch = (image: string, authorization?: string) =>
    fetching.fetch(image, {
      noCache: true,
      noStore: true,
      ...(authorization !== undefined && {
        headers: { [`127.0.0.1:${origin.port}`]: { Authorization: authorization } },
      }),
    });
  return { ...fetching, ...published, origin, fetch };
}

const sent = ({ requests }: Origin) => new Set(requests.map(({ headers }) => headers.authorization));

test('a server without credentials answers requests with and without them (T60)', async (t) => {
  const { fetch, store, url, imageId } = await guarded(t, { https: true }, 401, () => true);
  for (const authorization of [undefined, bearer, basic]) {
    t.like(await fetch(url, authorization), { status: 'fetched', imageID: imageId }, authorization);
    t.is((await store.getRemote(url))?.imageId, imageId);
  }
});

for (const [row, right, wrong] of [
  ['T61', basic, bearer],
  ['T62', bearer, basic],
] as const) {
  test(`a server that wants ${right} gives nothing to others, and nothing is remembered of it (${row})`, async (t) => {
    const { fetch, store, origin, url, imageId, listed, leftovers } = await guarded(
      t,
      { https: true },
      401,
      (authorization) => authorization === right,
    );
    for (const authorization of [undefined, wrong]) {
      const { status, error } = await fetch(url, authorization);
      t.is(status, 'failed');
      t.like(error, { code: 'HTTP_STATUS', details: { status: 401 } });
      t.deepEqual(codesOf(await fetch(`${name}:1`, authorization)).at(0), 'DISCOVERY_FAILED');
      t.is(await store.getRemote(url), undefined);
      t.deepEqual([await listed(), await leftovers()], [[], []]);
    }
    const before = origin.requests.length;
    for (const image of [url, `${name}:1`]) {
      t.like(await fetch(image, right), { status: 'fetched', imageID: imageId, signedBy: [key] });
    }
    const paths = new Set(origin.requests.slice(before).map(({ url: asked }) => asked.replace(/\?.*/, '')));
    for (const path of ['/example.com', new URL(url).pathname, `${new URL(url).pathname}.asc`]) {
      t.true(paths.has(path), `${path} was asked for with them`);
    }
    t.is((await store.getRemote(url))?.imageId, imageId);
  });
}

test('no credentials are sent over http, for an image, its signature or discovery (T63)', async (t) => {
  const { fetch, origin, url, imageId } = await guarded(t, {}, 400, (authorization) => authorization === undefined);
  for (const authorization of [undefined, bearer, basic]) {
    for (const image of [url, `${name}:1`]) {
      t.like(await fetch(image, authorization), { status: 'fetched', imageID: imageId }, `${image} ${authorization}`);
    }
  }
  t.deepEqual(sent(origin), new Set([undefined]));
});

test('a name is looked up over http only if that is allowed, after https has failed, and without credentials', async (t) => {
  const { finder, store, origin, imageId } = await guarded(t, {}, 400, (authorization) => authorization === undefined);
  origin.routes['/app'] = origin.routes['/example.com'] ?? {}; // as the host example.com has it
  const connectTo = ['443', '80'].map((port) => `example.com:${port}:127.0.0.1:${origin.port}`);
  const options = { discover: [], connectTo, headers: { 'example.com': { Authorization: bearer } } };
  await t.throwsAsync(finder(options).findImage(`${name}:1`), { code: 'DISCOVERY_FAILED' });
  t.deepEqual(origin.requests, []);
  t.is(await finder({ ...options, insecure: { http: true } }).findImage(`${name}:1`), imageId);
  t.deepEqual((await store.getImage(imageId))?.verified, [key]);
  t.deepEqual(sent(origin), new Set([undefined]));
});
