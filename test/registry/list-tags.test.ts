import test from 'ava';

import { listTags } from '../../src/registry/list-tags.ts';
import { startRegistry } from '../helpers/registry.ts';
import { openTestClient } from '../helpers/registry-client.ts';

const signal = AbortSignal.timeout(60_000);

/** A registry whose list of tags is what a function answers to the query of each request. */
async function open(t: Parameters<typeof startRegistry>[0], page: (query: string) => { tags: unknown; link?: string }) {
  const queries: string[] = [];
  const registry = await startRegistry(t, {
    guard({ url = '' }) {
      if (!url.startsWith('/v2/team/app/tags/list')) return undefined;
      queries.push(url.split('?')[1] ?? '');
      const { tags, link } = page(queries.at(-1) ?? '');
      const headers = { 'content-type': 'application/json', ...(link !== undefined && { link }) };
      return { body: JSON.stringify({ name: 'team/app', tags }), headers };
    },
  });
  const where = { host: registry.host, repository: 'team/app' };
  return { queries, list: () => listTags(openTestClient(t, { allowHttp: true }), where, signal) };
}

test('all pages of a list of tags, in their order', async (t) => {
  const pages: Record<string, { tags: string[]; link?: string }> = {
    'n=1000': { tags: ['1', '2'], link: '</v2/team/app/tags/list?last=2&n=1000>; rel="next"' },
    'last=2&n=1000': { tags: ['3'], link: '<?last=3>; rel="next"' },
    'last=3': { tags: [] },
  };
  const { list, queries } = await open(t, (query) => pages[query] ?? { tags: ['not asked for'] });
  t.deepEqual(await list(), ['1', '2', '3']);
  t.deepEqual(queries, Object.keys(pages));
});

test('a repository without tags has none, and what is no tag is left out', async (t) => {
  t.deepEqual(await (await open(t, () => ({ tags: null }))).list(), []);
  const tags = ['ok', 'not ok', '../x', '', 1, null, 'a'.repeat(129), 'v1.0_b-c'];
  t.deepEqual(await (await open(t, () => ({ tags }))).list(), ['ok', 'v1.0_b-c']);
});

test('a list whose pages lead in a circle, have no end or lead elsewhere is refused', async (t) => {
  const circle = await open(t, () => ({ tags: ['1'], link: '<?last=1>; rel="next"' }));
  await t.throwsAsync(circle.list(), { code: 'MANIFEST_INVALID', message: /lead in a circle/ });
  t.is(circle.queries.length, 2);
  let page = 0;
  const endless = await open(t, () => ({ tags: [`${page}`], link: `<?last=${(page += 1)}>; rel="next"` }));
  await t.throwsAsync(endless.list(), { code: 'LIMIT_EXCEEDED', message: /has no end/ });
  t.is(endless.queries.length, 1000);
  const elsewhere = await open(t, () => ({
    tags: [],
    link: '<https://other.example/v2/team/app/tags/list>; rel="next"',
  }));
  await t.throwsAsync(elsewhere.list(), { code: 'MANIFEST_INVALID', message: /elsewhere/ });
});

test('what is no list of tags is refused', async (t) => {
  const { list } = await open(t, () => ({ tags: 'latest' }));
  await t.throwsAsync(list(), { code: 'MANIFEST_INVALID', message: /its tags are no list/ });
});
