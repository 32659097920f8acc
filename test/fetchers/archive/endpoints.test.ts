import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import test, { type ExecutionContext } from 'ava';

import { createApps } from '../../../src/index.ts';
import type { ActionOptions } from '../../../src/internal.ts';
import { codesOf, openFetching } from '../../helpers/fetching.ts';
import { startOrigin } from '../../helpers/origin.ts';

const reference = 'example.com/app:1';

/** A name whose endpoints are found, and whose archive cannot be had. */
async function openFound(t: ExecutionContext, options: Partial<ActionOptions> = {}) {
  const origin = await startOrigin(t);
  const image = await origin.publish({ name: 'example.com/app', version: '1' });
  const served = origin.routes[image.path] ?? t.fail();
  origin.routes[image.path] = { status: 503 };
  const fetching = await openFetching(t, { discover: origin.discover, ...options });
  t.deepEqual(codesOf(await fetching.fetch(reference)), ['HTTP_STATUS']);
  origin.routes[image.path] = served;
  const pages = () => origin.requests.filter(({ url }) => url.includes('ac-discovery=1')).length;
  const found = pages();
  t.true(found > 0);
  const change = (sql: string): void => {
    const db = new DatabaseSync(join(fetching.store.dir, 'index.sqlite'), { timeout: 10_000 });
    db.exec(sql);
    db.close();
  };
  return { ...fetching, ...image, origin, change, askedAgain: () => pages() - found };
}

test('the endpoints of a name that were found a short while ago are used by the next run', async (t) => {
  const { fetch, finder, imageId, url, askedAgain } = await openFound(t);
  const { outcomes } = await finder().planImages(createApps([reference]));
  t.like(outcomes[0], { status: 'absent', source: url });
  t.like(await fetch(reference, { retries: 1 }), { status: 'fetched', imageID: imageId });
  t.is(askedAgain(), 0);
});

for (const options of [
  { pullPolicy: 'update' },
  { noStore: true },
  { noCache: true },
  { resolveMaxAgeMs: 0 },
] as const) {
  test(`endpoints are discovered again with ${JSON.stringify(options)}`, async (t) => {
    const { fetch, imageId, askedAgain } = await openFound(t);
    t.like(await fetch(reference, options), { status: 'fetched', imageID: imageId });
    t.true(askedAgain() > 0);
  });
}

test('endpoints that are old, of another origin, or that the page could not have named, are discovered again', async (t) => {
  for (const change of [
    'UPDATE answers SET answered_at = answered_at - 300000',
    `UPDATE answers SET value = '{"endpoints":[]}'`,
    `UPDATE answers SET value = '{"endpoints":[{"archiveUrl":"http://127.0.0.2:1/a","signatureUrl":"http://127.0.0.2:1/b"}]}'`,
    `UPDATE answers SET value = json_set(value, '$.identity', 'of somebody')`,
  ]) {
    const found = await openFound(t);
    found.change(change);
    t.like(await found.fetch(reference), { status: 'fetched', imageID: found.imageId }, change);
    t.true(found.askedAgain() > 0, change);
  }
  const { fetch, askedAgain } = await openFound(t);
  const other = await startOrigin(t);
  const { imageId } = await other.publish({ name: 'example.com/app', version: '1', size: 2000 });
  t.like(await fetch(reference, { discover: other.discover }), { status: 'fetched', imageID: imageId });
  t.is(askedAgain(), 0);
});

test('if an archive is no longer where it was found, its name is discovered again', async (t) => {
  const { fetch, origin, path } = await openFound(t);
  origin.routes[path] = { status: 404 };
  const template = `${origin.url}/moved/{name}-{version}.{ext}`;
  origin.routes['/example.com'] = { body: `<meta name="ac-discovery" content="example.com ${template}">` };
  const { imageId, path: old } = await origin.publish({ name: 'example.com/app', version: '1', size: 3000 });
  origin.routes[`/moved${old}`] = origin.routes[old] as never;
  origin.routes[old] = { status: 404 };
  t.like(await fetch(reference), { status: 'fetched', imageID: imageId, source: `${origin.url}/moved${old}` });
});

test('endpoints that are found again where the archive is still missing are not written first: that is waited for', async (t) => {
  const { fetch, origin, path, store } = await openFound(t);
  origin.routes[path] = { status: 404 };
  const putAnswer = store.putAnswer.bind(store);
  const put: unknown[] = [];
  const record: typeof putAnswer = (key, answer) => {
    put.push(answer);
    return putAnswer(key, answer);
  };
  Object.assign(store, { putAnswer: record });
  t.deepEqual(codesOf(await fetch(reference)), ['HTTP_STATUS']);
  t.deepEqual(put, [undefined, undefined]);
});

test('an endpoint with a query is not kept, since that may be a secret', async (t) => {
  const { fetch, origin, askedAgain, imageId, path, store } = await openFound(t, { resolveMaxAgeMs: 0 });
  const template = `${origin.url}/{name}-{version}.{ext}?key=sesame`;
  origin.routes['/example.com'] = { body: `<meta name="ac-discovery" content="example.com ${template}">` };
  const served = origin.routes[path] as never;
  origin.routes[path] = { status: 503 };
  t.deepEqual(codesOf(await fetch(reference, { resolveMaxAgeMs: 60_000 })), ['HTTP_STATUS']);
  origin.routes[path] = served;
  const before = askedAgain();
  t.like(await fetch(reference, { resolveMaxAgeMs: 61_000 }), { status: 'fetched', imageID: imageId });
  t.true(askedAgain() > before);
  await store.close();
});
