import { isIPv6 } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Redis } from 'ioredis';

import { type ErrorDetails, ImageError } from '../errors.ts';
import { show } from '../image/show.ts';
import { debugLog } from '../system/debug.ts';
import { describeErrno, errnoOf, tlsProblem } from '../system/errno.ts';
import { abortable } from '../system/single-flight.ts';

const debug = debugLog('fleet');

/** The Redis that the machines of a fleet meet at. */
export type QueueAddress = {
  /** For messages: without user and password. */
  readonly shown: string;
  readonly host: string;
  readonly port: number;
  readonly db: number;
  readonly isTls: boolean;
  readonly login?: QueueLogin | undefined;
};

type QueueLogin = { readonly username?: string; readonly password: string };

const defaultPort = 6379;
const maxDb = 1_000_000;
const maxLogin = 64 * 1024;

/**
 * Parses `redis://HOST[:PORT][/DB]`, or `rediss://` for TLS.
 *
 * @param mayHoldLogin - whether the URL may have a user and password: those of a command line are seen by other users. @throws USAGE
 */
export function parseQueueAddress(text: string, option: string, mayHoldLogin: boolean): QueueAddress {
  const refuse = (problem: string) => usage(option, `${problem}: want redis://HOST[:PORT][/DB], or rediss:// for TLS`);
  const [, scheme = '', user, host = '', port, path = ''] =
    /^(rediss?):\/\/(?:([^@/?#]*)@)?(\[[^\]@/?#]*\]|[^@:/?#[\]]*)(?::(\d{1,5}))?(\/\d{0,7})?$/i.exec(text) ?? [];
  const name = host.replace(/^\[(.*)\]$/, '$1');
  const isHost = host.startsWith('[') ? isIPv6(name) : /^[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252})$/.test(host);
  if (!isHost) throw refuse('not the address of a Redis');
  const number = Number(port ?? defaultPort);
  if (number < 1 || number > 65_535) throw refuse('not a port');
  const db = Number(path.slice(1));
  if (db > maxDb) throw refuse('not a database');
  if (user !== undefined && !mayHoldLogin)
    throw usage(
      option,
      'other users see a command line: give user and password by --queue-auth FILE, or the whole URL by LONGSHORE_QUEUE',
    );
  const isTls = scheme.toLowerCase() === 'rediss';
  return {
    shown: `${isTls ? 'rediss' : 'redis'}://${host.toLowerCase()}:${number}${db === 0 ? '' : `/${db}`}`,
    ...{ host: name, port: number, db, isTls },
    ...(user !== undefined && { login: loginOfUrl(user, refuse) }),
  };
}

function loginOfUrl(text: string, refuse: (problem: string) => ImageError): QueueLogin {
  const [, username = '', password] = /^([^:]*):(.*)$/s.exec(text) ?? [];
  try {
    return loginOf(decodeURIComponent(username), decodeURIComponent(password ?? text));
  } catch {
    throw refuse('its user or password is badly encoded');
  }
}

/** Parses `PASSWORD` or `USER:PASSWORD`, the first line of a file. @throws USAGE */
export function parseQueueLogin(content: string, option: string): QueueLogin {
  const [line = ''] = content.split(/\r?\n/, 1);
  if (line === '' || line.length > maxLogin) throw usage(option, 'want PASSWORD or USER:PASSWORD in the first line');
  const [, username = '', password = line] = /^([^:]*):(.*)$/s.exec(line) ?? [];
  return loginOf(username, password);
}

function loginOf(username: string, password: string): QueueLogin {
  return { ...(username !== '' && { username }), password };
}

function usage(option: string, message: string): ImageError<'USAGE'> {
  return new ImageError('USAGE', `${option}: ${message}`, { option });
}

export type QueueOptions = {
  /** PEM of certificate authorities that are trusted beside those of the system. */
  readonly ca?: string | undefined;
  /** How long to wait for it at the beginning. Default: not at all. */
  readonly waitMs?: number;
  /** Once it was there, it is waited for however long it is away; without this, an operation fails after a few seconds. */
  readonly isPatient: boolean;
  /** How long it may take to answer. Default 10 s. */
  readonly answerMs?: number;
  readonly onWarning: (message: string) => void;
  readonly signal?: AbortSignal;
};

export type QueueConnection = AsyncDisposable & {
  readonly redis: Redis;
  readonly address: QueueAddress;
  /** It is waited for no longer: what is asked of it fails, at once or when it cannot be connected to again. */
  abandon(this: void): void;
};

const defaultAnswerMs = 10_000;
const retryMs = 1000;

/** Connects to a queue, and warns if it may lose what it has. @throws QUEUE_UNAVAILABLE */
export async function connectQueue(address: QueueAddress, options: QueueOptions): Promise<QueueConnection> {
  const { onWarning, waitMs = 0, signal = new AbortController().signal } = options;
  const untilMs = performance.now() + waitMs;
  let isWarned = false;
  for (;;) {
    try {
      const { redis, abandon } = await openOnce(address, options, signal);
      await warnOfEviction(redis, address, onWarning);
      return { redis, address, abandon, [Symbol.asyncDispose]: () => Promise.resolve(redis.disconnect()) };
    } catch (error) {
      signal.throwIfAborted();
      const failure = queueError(error, address);
      if (failure.details.reason !== 'unreachable' || performance.now() >= untilMs) throw failure;
      if (!isWarned) onWarning(`${failure.message}: it is waited for`);
      isWarned = true;
      await sleep(retryMs, undefined, { signal });
    }
  }
}

async function openOnce(
  address: QueueAddress,
  options: QueueOptions,
  signal: AbortSignal,
): Promise<Pick<QueueConnection, 'redis' | 'abandon'>> {
  const { ca, isPatient, onWarning, answerMs = defaultAnswerMs } = options;
  const { Redis } = await import('ioredis'); // few commands need it
  keepConsoleQuiet();
  const { rootCertificates } = ca === undefined ? { rootCertificates: [] } : await import('node:tls');
  const { host, port, db, isTls, login } = address;
  let isWaitedFor = false;
  const client = new Redis({
    ...{ host, port, db, lazyConnect: true, connectTimeout: answerMs },
    ...login,
    ...(isTls && { tls: ca === undefined ? {} : { ca: [...rootCertificates, ca] } }),
    maxRetriesPerRequest: isPatient ? null : 5,
    retryStrategy: (times) => (isWaitedFor ? Math.min(times * 100, retryMs) : null),
  });
  const redis = endsBetweenTries(client);
  let last: unknown;
  const opened = Promise.withResolvers<void>();
  const timer = setTimeout(() => opened.reject(new Error('no answer')), answerMs);
  redis.on('error', (error) => void (last = error));
  redis.once('ready', () => opened.resolve());
  redis.once('end', () => opened.reject(asError(last)));
  redis.connect().catch((error: unknown) => opened.reject(asError(last ?? error)));
  try {
    await abortable(opened.promise, signal);
  } catch (error) {
    redis.disconnect();
    throw error;
  } finally {
    clearTimeout(timer);
  }
  isWaitedFor = true;
  warnWhileAway(redis, address, onWarning);
  const abandon = (): void => {
    isWaitedFor = false; // for connections made of this one, too
    redis.disconnect();
  };
  return { redis, abandon };
}

/**
 * A client that is disconnected while it waits for its next try to connect ends at once. ioredis would not end then, and leave without an
 * answer what was asked of it: BullMQ waits for that.
 */
function endsBetweenTries(redis: Redis): Redis {
  const [disconnect, duplicate] = [redis.disconnect.bind(redis), redis.duplicate.bind(redis)];
  return Object.assign(redis, {
    disconnect(reconnect = false): void {
      if (!reconnect && redis.status === 'reconnecting') redis.status = 'wait'; // as one that was never connected
      disconnect(reconnect);
    },
    duplicate: (...options: Parameters<typeof duplicate>) => endsBetweenTries(duplicate(...options)),
  });
}

/** ioredis and BullMQ print what they think of a Redis, in words of theirs and once for each connection. What matters of it is a warning of ours. */
function keepConsoleQuiet(): void {
  // oxlint-disable-next-line no-console -- not to print, but to keep others from it
  console.warn = (...text: readonly unknown[]) => debug(() => show(text.map(String).join(' '), 500));
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error('the connection was closed');
}

/** Says once that the queue is gone, and once that it is back. */
function warnWhileAway(redis: Redis, { shown }: QueueAddress, onWarning: (message: string) => void): void {
  let isAway = false;
  redis.on('reconnecting', () => {
    if (!isAway) onWarning(`the connection to ${shown} is lost: it is waited for`);
    isAway = true;
  });
  redis.on('ready', () => {
    if (isAway) onWarning(`${shown} is back`);
    isAway = false;
  });
}

/** What a queue has must not be thrown away by Redis when its memory is full. */
async function warnOfEviction(
  redis: Redis,
  { shown }: QueueAddress,
  onWarning: (message: string) => void,
): Promise<void> {
  const memory = await redis.info('memory').catch(() => '');
  const [, policy] = /^maxmemory_policy:(\S+)/m.exec(memory) ?? [];
  if (policy === undefined || policy === 'noeviction') return;
  onWarning(
    `${shown} has the maxmemory-policy ${show(policy, 40)}: it may throw away parts of a batch; set it to noeviction`,
  );
}

/**
 * Why a queue cannot be used. The words of the other side are not repeated, and its error is no cause of ours: they may hold the
 * password.
 */
export function queueError(error: unknown, { shown, isTls }: QueueAddress): ImageError<'QUEUE_UNAVAILABLE'> {
  const { reason, why } = reasonOf(error, isTls);
  return new ImageError('QUEUE_UNAVAILABLE', `${shown} ${why}`, { queue: shown, reason });
}

type Reason = { readonly reason: ErrorDetails['QUEUE_UNAVAILABLE']['reason']; readonly why: string };

function reasonOf(error: unknown, isTls: boolean): Reason {
  const { message, code } = error as { readonly message?: string; readonly code?: unknown };
  const errno = errnoOf(error) ?? errnoOf((error as { readonly errors?: readonly unknown[] }).errors?.[0]);
  const word = /^[A-Z]{2,20}(?= |$)/.exec(message ?? '')?.[0] ?? '';
  const problem = typeof code === 'string' ? tlsProblem(code) : undefined;
  if (problem !== undefined) return { reason: 'tls', why: `cannot be reached by TLS: ${problem}` };
  const isSystem = errno !== undefined && errno !== 'ECONNRESET'; // the wrong protocol leads to that one
  if (isSystem) return { reason: 'unreachable', why: `cannot be reached: ${describeErrno(errno).what}` };
  if (word === 'NOAUTH') return { reason: 'password', why: 'wants a password' };
  if (word === 'WRONGPASS') return { reason: 'password', why: 'does not accept the user or the password' };
  if (word === 'NOPERM') return { reason: 'password', why: 'does not let this user do what a fleet needs' };
  if (word === 'OOM') return { reason: 'unreachable', why: 'takes nothing more: its memory is full' };
  if (word === 'READONLY') return { reason: 'unreachable', why: 'is a copy that cannot be written' };
  if (word === 'MISCONF') return { reason: 'unreachable', why: 'takes nothing more: it cannot write to its disk' };
  if (word === 'WRONGTYPE') return { reason: 'notRedis', why: 'has something else where a fleet has its own' };
  if (/^Unknown RESP type/.test(message ?? ''))
    return { reason: 'notRedis', why: 'is no Redis: it speaks another protocol' };
  if (word === 'ERR') return { reason: 'notRedis', why: 'does not know the commands that a fleet needs' };
  const what = message === 'no answer' ? 'does not answer' : 'ends the connection';
  if (isTls) return { reason: 'tls', why: `${what}: is its port one for TLS?` };
  return { reason: 'unreachable', why: `${what}; if it wants TLS, its address begins with rediss://` };
}
