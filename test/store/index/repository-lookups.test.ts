import test from 'ava';
import fc from 'fast-check';

import { openTestStore } from '../../helpers/blob.ts';
import { prepareRegistryImage } from '../../helpers/registry-image.ts';

test('repositories, their tags and hosts are found among references that sort between each other', async (t) => {
  const store = await openTestStore(t);
  const image = await prepareRegistryImage(store, {});
  const { digest } = image.manifest;
  const part = fc.constantFrom('a', 'b', 'a-b', 'a.b', 'a__b', '0', 'ab');
  const references = fc.sample(
    fc.record({
      host: fc.constantFrom('a.io', 'a.io:5000', 'a-b.io', 'localhost:1', 'b.io'),
      path: fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/')),
      tag: fc.constantFrom('1', '1.0', '1-a', 'A', 'latest', '_'),
      form: fc.constantFrom('tag', 'digest', 'both'),
    }),
    { numRuns: 150, seed: 1 },
  );
  const tags = new Map<string, Set<string>>();
  for (const { host, path, tag, form } of references) {
    const repository = `${host}/${path}`;
    const known = tags.get(repository) ?? new Set();
    tags.set(repository, form === 'tag' ? known.add(tag) : known);
    const name = form === 'digest' ? repository : `${repository}:${tag}`;
    await store.commitRegistryImage({ ...image, reference: form === 'tag' ? name : `${name}@${digest}` });
  }
  const byBytes = (texts: Iterable<string>): readonly string[] => [...texts].toSorted((a, b) => (a < b ? -1 : 1));

  const found: string[] = [];
  for (let last: string | undefined, more = true; more;) {
    const page = await store.repositories({ limit: 7, ...(last !== undefined && { after: last }) });
    found.push(...page);
    last = page.at(-1);
    more = page.length === 7;
  }
  t.deepEqual(byBytes(found), byBytes(tags.keys()));
  for (const [repository, known] of tags) {
    const all = byBytes(known);
    t.deepEqual(await store.tagsOf(repository, { limit: 100 }), all, repository);
    const [first] = all;
    if (first !== undefined) t.deepEqual(await store.tagsOf(repository, { limit: 1, after: first }), all.slice(1, 2));
    const path = repository.slice(repository.indexOf('/') + 1);
    const hosts = [...tags.keys()].flatMap((one) =>
      one.endsWith(`/${path}`) && one.split('/').length === repository.split('/').length ? one.split('/')[0] : [],
    );
    t.deepEqual(byBytes(await store.hostsOf(path)), byBytes(hosts.filter((host) => host !== undefined)), path);
    t.is(await store.sizeIn(digest, repository), image.manifest.size);
    t.true((await store.imagesNeeding(digest, repository)).every(({ reference }) => reference.startsWith(repository)));
  }
  t.deepEqual(await store.hostsOf('none'), []);
  t.is(await store.sizeIn(digest, 'a.io/none'), undefined);
  t.deepEqual(await store.tagsOf('a.io/none', { limit: 10 }), []);
});
