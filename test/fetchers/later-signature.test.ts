import test from 'ava';

import { codesOf, openFetching } from '../helpers/fetching.ts';
import { openGpg } from '../helpers/keys.ts';
import { startOrigin } from '../helpers/origin.ts';
import { openTrust } from '../helpers/trust.ts';

const gpg = await openGpg();
const key = await gpg.createKey();
test.after.always(() => gpg.close());

const name = 'example.com/app';

test('a signature that the server does not send yet is requested again after the image, and is missing in the end', async (t) => {
  const origin = await startOrigin(t, { sign: (bytes) => gpg.sign(key, bytes) });
  const keystore = await openTrust(t, gpg, { root: key });
  const { fetchAll, listed, leftovers } = await openFetching(t, { keystore, discover: origin.discover });
  const soon = await origin.publish({ name, version: '1', size: 1000 });
  const tagged = await origin.publish({ name, version: '2', size: 2000 });
  const never = await origin.publish({ name, version: '3', size: 3000 });
  const there = await origin.publish({ name, version: '4', size: 4000 });
  const page = ['/later', ''].map(
    (at) => `<meta name="ac-discovery" content="${name} ${origin.url}${at}/{name}-{version}.{ext}">`,
  );
  origin.routes[`/${name}`] = { body: page.join('') };
  origin.routes[`/later/${name}-4.aci`] = { body: there.bytes };
  origin.routes[`/later/${name}-4.aci.asc`] = { status: 202 };
  for (const { path } of [soon, tagged]) {
    const signed = origin.routes[`${path}.asc`];
    origin.routes[`${path}.asc`] = {
      handler: (_request, response) => {
        if (origin.served(path) === 0) response.writeHead(202).end('not yet');
        else response.end(signed?.body);
      },
    };
  }
  origin.routes[`${never.path}.asc`] = { status: 202 };
  const waiting = new Set<string>();
  const began = performance.now();
  const [first, second, third, fourth] = await fetchAll([soon.url, `${name}:2`, never.url, `${name}:4`], {
    onEvent: (event) => {
      if (event.type === 'waiting') waiting.add(event.key);
    },
  });
  t.like(first, { status: 'fetched', signedBy: [key] });
  t.like(second, { status: 'fetched', signedBy: [key], imageID: tagged.imageId });
  t.deepEqual(codesOf(third ?? {}), ['SIGNATURE_MISSING', 'HTTP_STATUS']);
  t.like(fourth, { status: 'fetched', imageID: there.imageId }); // from the next endpoint
  t.is(waiting.size, 4);
  t.deepEqual(
    origin.requests.map(({ url }) => url).filter((url) => url.startsWith(soon.path)),
    [`${soon.path}.asc`, soon.path, `${soon.path}.asc`],
  );
  t.is(origin.served(`${never.path}.asc`), 4);
  t.true(performance.now() - began >= 7000);
  t.is((await listed()).length, 3);
  t.deepEqual(await leftovers(), []);
});

test('a 202 for an image is a failure', async (t) => {
  const origin = await startOrigin(t);
  const { fetch, listed, leftovers } = await openFetching(t);
  const { url } = await origin.publish({ name }, { status: 202 });
  t.like((await fetch(url)).error, { code: 'HTTP_STATUS', details: { status: 202 } });
  t.deepEqual([await listed(), await leftovers()], [[], []]);
});
