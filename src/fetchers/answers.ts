import { hash, scrypt } from 'node:crypto';
import { promisify } from 'node:util';

import { hasCode, isImageError } from '../errors.ts';
import { longestFreshMs } from '../http/headers.ts';
import type { Answers, FetchContext } from './context.ts';

const slowHash = promisify<string, string, number, Buffer>(scrypt);

/** The most credentials whose identity is known; usually there is one for each registry. */
const maxIdentities = 64;

/** @param network - settings, without secrets. */
export function createAnswers(maxAgeMs: number, network: unknown): Answers {
  const identities = new Map<string, Promise<string>>();
  return {
    maxAgeMs: Math.min(maxAgeMs, longestFreshMs),
    areKept: true,
    network: hash('sha256', JSON.stringify(network)),
    identityOf(credentials, salt) {
      const text = JSON.stringify(credentials);
      // a slow hash, since whoever may read the store could guess a weak password
      const identity = identities.get(text) ?? slowHash(text, salt, 32).then((bytes) => bytes.toString('hex'));
      if (identities.size >= maxIdentities) identities.clear();
      identities.set(text, identity);
      return identity;
    },
  };
}

/**
 * The answer to a question, if it was given less than `maxAgeMs` ago and may be used.
 *
 * @param parse - returns undefined for a value that is damaged.
 */
export async function recall<T>(
  context: FetchContext,
  question: readonly string[],
  parse: (value: unknown) => T | undefined,
): Promise<T | undefined> {
  const { store, answers, nowMs } = context;
  if (!mayRecall(context)) return undefined;
  const answer = await store.getAnswer(textOf(context, question));
  const ageMs = answer ? nowMs() - answer.answeredAtMs : Infinity;
  if (!answer || ageMs < 0 || ageMs >= answers.maxAgeMs) return undefined;
  try {
    return parse(JSON.parse(answer.value));
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Whoever wants to know what is true now, or writes it down in a lock, is not given what was true a while ago. */
function mayRecall({ answers, policy, noCache, lock }: FetchContext): boolean {
  return answers.maxAgeMs > 0 && policy === 'new' && !noCache && (lock === undefined || lock.frozen);
}

const maxValueLength = 16 * 1024;

/** Keeps an answer for later runs. @param answeredAtMs - when it was asked for. */
export async function remember(
  context: FetchContext,
  question: readonly string[],
  value: object,
  answeredAtMs: number,
): Promise<void> {
  const { store, answers } = context;
  const text = JSON.stringify(value);
  if (!answers.areKept || answers.maxAgeMs === 0 || text.length > maxValueLength) return;
  await store.putAnswer(textOf(context, question), { value: text, answeredAtMs });
}

export async function forget(context: FetchContext, question: readonly string[]): Promise<void> {
  const { store, answers } = context;
  if (answers.areKept && answers.maxAgeMs > 0) await store.putAnswer(textOf(context, question), undefined);
}

function textOf({ answers }: FetchContext, question: readonly string[]): string {
  return JSON.stringify([answers.network, ...question]);
}

/** Whether an image may fail since an answer is no longer true. The network and this machine fail by themselves. */
export function mayBeOutdated(error: unknown): boolean {
  if (hasCode(error, 'HTTP_STATUS')) return error.details.status < 500;
  return isImageError(error) && !ownFailures.test(error.code);
}

const ownFailures =
  /^(NETWORK|TIMEOUT|STALLED|TLS|RATE_LIMITED|RESPONSE_INVALID|LENGTH_MISMATCH|CANCELLED|CLOSED|INTERNAL|STORE_.*|FILE_.*)$/;
