import test from 'ava';

import { discoverEndpoints, discoverKeys, type DiscoveryContext } from '../../src/discovery/discover.ts';
import { hasCode, ImageError } from '../../src/errors.ts';

const signal = new AbortController().signal;
const template = 'https://s.example.com/{name}-{version}.{ext}';
const endpointTag = (prefix: string, uri = template) => `<meta name="ac-discovery" content="${prefix} ${uri}">`;
const keyTag = (prefix: string, uri: string) => `<meta name="ac-discovery-pubkeys" content="${prefix} ${uri}">`;

/** A context over pages by URL; every URL that is asked for is noted. What is no page is 404, or the failure it stands for. */
function pages(found: Record<string, string>, options: Partial<DiscoveryContext> = {}) {
  const asked: string[] = [];
  const context: DiscoveryContext = {
    http: {
      getDocument({ url }) {
        asked.push(url);
        const page = found[url.replace('?ac-discovery=1', '')];
        if (page === 'down') return Promise.reject(new ImageError('NETWORK', 'refused', { url }));
        if (page === '401') return Promise.reject(new ImageError('HTTP_STATUS', 'status 401', { url, status: 401 }));
        if (page === undefined)
          return Promise.reject(new ImageError('HTTP_STATUS', 'status 404', { url, status: 404 }));
        return Promise.resolve({ status: 200, headers: {}, url, body: Buffer.from(page) });
      },
    },
    allowHttp: false,
    keysByHttp: false,
    origins: [],
    pageBytes: 1 << 20,
    endpoints: 8,
    ...options,
  };
  return { context, asked };
}

const version = new Map([['version', '1']]);
const ask = (context: DiscoveryContext, name = 'example.com/a/b') => discoverEndpoints(context, name, version, signal);
const archives = async (context: DiscoveryContext, name?: string) =>
  (await ask(context, name)).map(({ archiveUrl }) => archiveUrl);

test('W1: the page of the name itself is asked first, and once', async (t) => {
  const { context, asked } = pages({ 'https://example.com/a/b': endpointTag('example.com') });
  t.deepEqual(await archives(context), ['https://s.example.com/example.com/a/b-1.aci']);
  t.deepEqual(asked, ['https://example.com/a/b?ac-discovery=1']);
});

test('W2: parents are asked until one has a tag, and the image keeps its whole name', async (t) => {
  const { context, asked } = pages({ 'https://example.com/a': endpointTag('example.com') });
  t.deepEqual(await archives(context), ['https://s.example.com/example.com/a/b-1.aci']);
  t.deepEqual(asked, ['https://example.com/a/b?ac-discovery=1', 'https://example.com/a?ac-discovery=1']);
});

test('W3: if no page has a usable tag, the error names every attempt', async (t) => {
  const { context } = pages({ 'https://example.com': 'down' });
  const error = await t.throwsAsync(ask(context));
  t.true(hasCode(error, 'DISCOVERY_FAILED'));
  if (!hasCode(error, 'DISCOVERY_FAILED')) return;
  t.is(error.details.attempts.length, 3);
  t.regex(error.message, /example\.com\/a\/b.*404.*example\.com\/: NETWORK/);
});

test('W4, H5, H8: http is used only if it is allowed, and only after https failed', async (t) => {
  const found = { 'http://example.com/a': endpointTag('example.com') };
  const strict = pages(found);
  await t.throwsAsync(ask(strict.context, 'example.com/a'));
  t.true(strict.asked.every((url) => url.startsWith('https:')));

  const lenient = pages(found, { allowHttp: true });
  t.is((await archives(lenient.context, 'example.com/a')).length, 1);
  t.deepEqual(lenient.asked, ['https://example.com/a?ac-discovery=1', 'http://example.com/a?ac-discovery=1']);
});

test('W5: a tag for another prefix, or for a sibling with the same beginning, is not used', async (t) => {
  const { context } = pages({
    'https://example.com/abc': endpointTag('example.com/a') + endpointTag('example.org'),
    'https://example.com': endpointTag('example.com/abc', 'https://right/{name}.{ext}'),
  });
  t.deepEqual(await archives(context, 'example.com/abc'), ['https://right/example.com/abc.aci']);
});

test('W6, W7, W8: keys are searched independently of endpoints, up to the parents, in document order', async (t) => {
  const { context } = pages({
    'https://example.com/a/b': endpointTag('example.com'),
    'https://example.com':
      keyTag('example.com', 'https://k/1') + keyTag('example.com', 'https://k/2') + endpointTag('x'),
  });
  t.is((await archives(context)).length, 1);
  t.deepEqual(await discoverKeys(context, 'example.com/a/b', signal), [
    { url: 'https://k/1', isProven: true },
    { url: 'https://k/2', isProven: true },
  ]);
});

test('a key is proven to be that of a name if it and the page that names it come over https', async (t) => {
  const page = keyTag('example.com', 'https://k/1') + keyTag('example.com', 'http://k/2');
  const proven = async (url: string, more: Partial<DiscoveryContext>): Promise<readonly boolean[]> => {
    const { context } = pages({ [url]: page }, { allowHttp: true, ...more });
    return (await discoverKeys(context, 'example.com/a', signal)).map(({ isProven }) => isProven);
  };
  t.deepEqual(await proven('https://example.com/a', {}), [true, false]);
  t.deepEqual(await proven('http://example.com/a', {}), [false, false]);
  t.deepEqual(await proven('http://example.com/a', { keysByHttp: true }), [true, false]);
  const origins = [{ prefix: 'example.com', origin: 'http://mirror.lan' }];
  t.deepEqual(await proven('http://mirror.lan/example.com/a', { allowHttp: false, origins }), [false]);
});

test('templates with http, file or no valid URL are not used; one with another https host is', async (t) => {
  const tags = ['http://s/{name}.{ext}', 'file:///{name}.{ext}', '/{name}.{ext}', 'https://other/{name}.{ext}'];
  const { context } = pages({ 'https://example.com/a': tags.map((uri) => endpointTag('example.com', uri)).join('') });
  t.deepEqual(await archives(context, 'example.com/a'), ['https://other/example.com/a.aci']);
});

test('of 5000 tags the first eight are tried', async (t) => {
  const { context } = pages({ 'https://example.com/a': endpointTag('example.com').repeat(5_000) });
  t.is((await ask(context, 'example.com/a')).length, 8);
});

test('a mapped prefix is asked at its origin only, which may be http', async (t) => {
  const origins = [
    { prefix: 'example.com', origin: 'https://wrong.lan' },
    { prefix: 'example.com/team', origin: 'http://mirror.lan:8080/' },
  ];
  const uris = ['http://mirror.lan:8080/{name}.{ext}', 'http://elsewhere/{name}.{ext}'];
  const { context, asked } = pages(
    { 'http://mirror.lan:8080/example.com/team': uris.map((uri) => endpointTag('example.com/team', uri)).join('') },
    { origins },
  );
  t.deepEqual(await archives(context, 'example.com/team/app'), ['http://mirror.lan:8080/example.com/team/app.aci']);
  t.deepEqual(asked, [
    'http://mirror.lan:8080/example.com/team/app?ac-discovery=1',
    'http://mirror.lan:8080/example.com/team?ac-discovery=1',
  ]);
  await t.throwsAsync(ask(context, 'example.com/teamster/app'));
  t.regex(asked.at(-1) ?? '', /^https:\/\/wrong\.lan\//);
});

test('a page over the limit ends the search', async (t) => {
  const { context } = pages({ 'https://example.com': endpointTag('example.com') });
  const getDocument = () =>
    Promise.reject(new ImageError('LIMIT_EXCEEDED', 'too large', { limit: 'page', maximum: 1 }));
  const error = await t.throwsAsync(ask({ ...context, http: { getDocument } }));
  t.true(hasCode(error, 'LIMIT_EXCEEDED'));
});

test('if all pages require credentials, the error is their status', async (t) => {
  const some = { 'https://example.com/a/b': '401', 'https://example.com/a': '401' };
  const all = { ...some, 'https://example.com': '401' };
  const error = await t.throwsAsync(ask(pages(all).context));
  t.like(error, { code: 'HTTP_STATUS', details: { status: 401, url: 'https://example.com?ac-discovery=1' } });
  t.regex(error?.message ?? '', /no page has a usable tag for example\.com\/a\/b; asked .*401/);
  t.true(hasCode(await t.throwsAsync(ask(pages(some).context)), 'DISCOVERY_FAILED'));
  const untagged = { ...all, 'https://example.com': '<html>' };
  t.true(hasCode(await t.throwsAsync(ask(pages(untagged).context)), 'DISCOVERY_FAILED'));
});
