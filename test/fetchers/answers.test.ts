import test from 'ava';

import { createAnswers, withAnswer } from '../../src/fetchers/answers.ts';
import { ImageError } from '../../src/internal.ts';

const { signal } = new AbortController();
const open = (maxAgeMs: number, network: unknown = []) =>
  createAnswers({ maxAgeMs, network, headersFor: () => undefined });

test('answers are a week old at most', (t) => {
  t.is(open(1000).maxAgeMs, 1000);
  t.is(open(1e12).maxAgeMs, 7 * 86_400_000);
});

test('credentials are told apart in one store, and not recognised in another', async (t) => {
  const answers = open(1000);
  const identities = await Promise.all([
    answers.identityOf(['a:1', 'basic', 'me', 'secret'], 'salt'),
    answers.identityOf(['a:1', 'basic', 'me', 'secret '], 'salt'),
    answers.identityOf(['b:1', 'basic', 'me', 'secret'], 'salt'),
    open(1000).identityOf(['a:1', 'basic', 'me', 'secret'], 'other salt'),
  ]);
  t.is(new Set(identities).size, 4);
  t.is(await open(1000).identityOf(['a:1', 'basic', 'me', 'secret'], 'salt'), identities[0]);
  t.false(identities.some((identity) => identity.includes('secret')));
});

test('other settings of the network ask other questions', (t) => {
  t.not(open(1000, [true]).network, open(1000, [false]).network);
});

const refused = new ImageError('SIGNATURE_MISSING', 'no signature', { location: 'a' });
const unreachable = new ImageError('NETWORK', 'no network', { url: 'http://a/', errno: 'ECONNREFUSED' } as never);

/** What happens when the remembered answer is `old`, the server says `now`, and what `old` leads to fails. */
async function inquire(now: string, error: ImageError) {
  const log: string[] = [];
  const use = (answer: string): Promise<string> => {
    log.push(`uses ${answer}`);
    return answer === 'old' ? Promise.reject(error) : Promise.resolve(answer);
  };
  const result = await withAnswer(
    (mayRecall) => ({
      get: () => Promise.resolve(mayRecall ? 'old' : now),
      isRecalled: () => mayRecall,
      forget: () => Promise.resolve(void log.push('forgets')),
    }),
    (one, other) => one === other,
    use,
    signal,
  ).catch((failure: unknown) => failure);
  return { log, result };
}

test('a remembered answer that leads to a failure is replaced by what the server says now', async (t) => {
  t.deepEqual(await inquire('new', refused), { log: ['uses old', 'forgets', 'uses new'], result: 'new' });
});

test('what the server still says is not used twice, and is forgotten', async (t) => {
  t.deepEqual(await inquire('old', refused), { log: ['uses old', 'forgets', 'forgets'], result: refused });
});

test('a failure of the network says nothing about an answer', async (t) => {
  t.deepEqual(await inquire('new', unreachable), { log: ['uses old'], result: unreachable });
});
