import test from 'ava';

import { parseDigest } from '../../src/image/digest.ts';
import { createRecentDocuments } from '../../src/registry/recent-documents.ts';
import { describe } from '../helpers/registry.ts';

const never = AbortSignal.timeout(600_000);

function documentOf(text: string) {
  const { digest, size } = describe(text, '');
  return { digest: parseDigest(digest), size, bytes: Buffer.from(text), mediaType: 'x' };
}

test('a document is requested once for all callers, at the same time or later', async (t) => {
  const recent = createRecentDocuments(100);
  const one = documentOf('one');
  let brought = 0;
  const bring = () => Promise.resolve((brought += 1)).then(() => one);
  await Promise.all([1, 2, 3].map(() => recent.get(one, bring, never)));
  t.is(await recent.get(one, bring, never), one);
  t.is(brought, 1);
});

test('a document is requested again after a failure, or after an abort of another caller', async (t) => {
  const recent = createRecentDocuments(100);
  const one = documentOf('one');
  await t.throwsAsync(
    recent.get(one, () => Promise.reject(new Error('no')), never),
    { message: 'no' },
  );
  t.is(await recent.get(one, () => Promise.resolve(one), never), one);

  const two = documentOf('two');
  const stop = new AbortController();
  const given = recent.get(two, () => new Promise(() => undefined), stop.signal);
  stop.abort(new Error('enough'));
  await t.throwsAsync(given, { message: 'enough' });
  t.is(await recent.get(two, () => Promise.resolve(two), never), two);
});

test('the size of the cache is bounded, and the oldest document is removed first', async (t) => {
  const recent = createRecentDocuments(25);
  const documents = ['a', 'b', 'c'].map((letter) => documentOf(letter.repeat(10)));
  const brought: string[] = [];
  const get = (document: ReturnType<typeof documentOf>) =>
    recent.get(document, () => Promise.resolve((brought.push(document.bytes.toString('utf8', 0, 1)), document)), never);
  for (const document of documents) await get(document);
  for (const document of documents.toReversed()) await get(document);
  t.deepEqual(brought, ['a', 'b', 'c', 'a']);
});
