import { hash, scrypt } from 'node:crypto';
import { promisify } from 'node:util';

import { hasCode, isImageError } from '../errors.ts';
import { longestFreshMs } from '../http/headers.ts';
import { debugLog } from '../system/debug.ts';
import type { Answers, FetchContext } from './context.ts';

const debug = debugLog('fetchers');

const slowHash = promisify<string, string, number, Buffer>(scrypt);

/** The most credentials whose identity is known; usually there is one for each registry. */
const maxIdentities = 64;

type AnswerOptions = Pick<Answers, 'maxAgeMs' | 'headersFor'> & {
  /** Settings, without secrets. */
  readonly network: unknown;
};

export function createAnswers({ maxAgeMs, headersFor, network }: AnswerOptions): Answers {
  const identities = new Map<string, Promise<string>>();
  return {
    maxAgeMs: Math.min(maxAgeMs, longestFreshMs),
    areKept: true,
    headersFor,
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

/** One way to an answer. */
export type Inquiry<A> = {
  /** The answer: a remembered one if there is one, else the server's. */
  get(): Promise<A>;
  /** Whether the answer is a remembered one. */
  isRecalled(): boolean;
  /** Called if what the answer led to fails, or if there is none: a later run must not use it. */
  forget(): Promise<void>;
};

/**
 * Uses the answer to a question. If what a remembered answer leads to fails, it may be outdated: the server is asked, and its answer
 * used if it is another one.
 *
 * @param open - opens an inquiry that may use a remembered answer, or may not.
 */
export async function withAnswer<A, T>(
  open: (mayRecall: boolean) => Inquiry<A>,
  isSame: (one: A, other: A) => boolean,
  use: (answer: A) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  let failed: { readonly answer: A | undefined; readonly error: unknown } | undefined;
  for (;;) {
    const inquiry = open(failed === undefined);
    let answer: A | undefined;
    try {
      answer = await inquiry.get();
      if (failed?.answer !== undefined && isSame(answer, failed.answer)) throw failed.error;
      return await use(answer);
    } catch (error) {
      if (signal.aborted || !mayBeOutdated(error)) throw error;
      await inquiry.forget().catch(() => undefined); // the first error is reported
      if (!inquiry.isRecalled()) throw error;
      debug(() => 'what was answered a short while ago leads to a failure: asked again');
      failed = { answer, error };
    }
  }
}

/** Whether an image may fail since an answer is no longer true. The network and this machine fail by themselves. */
function mayBeOutdated(error: unknown): boolean {
  if (hasCode(error, 'HTTP_STATUS')) return error.details.status < 500;
  return isImageError(error) && !ownFailures.test(error.code);
}

const ownFailures =
  /^(NETWORK|TIMEOUT|STALLED|TLS|RATE_LIMITED|RESPONSE_INVALID|LENGTH_MISMATCH|CANCELLED|CLOSED|INTERNAL|STORE_.*|FILE_.*)$/;
