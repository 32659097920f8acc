import { hasCode, type ImageError, isImageError } from '../errors.ts';
import type { RegistryOptions } from './types.ts';

/** A mirror or a peer must connect and answer within this time, in one try: then the next place is asked. */
const answerMs = 5_000;
/** A peer that is slower than this is given up, and the next place is asked for the rest. */
const paceOfPeers = { stallMs: 5_000, minRate: 32 * 1024 };
/** After this many failures in a row a mirror is not asked for `pauseMs`. */
const maxFailures = 3;
const pauseMs = 60_000;

/** A client for mirrors or peers: with a shorter timeout and without retries. */
export function withShortTimeouts(http: RegistryOptions['http'], kind: 'mirror' | 'peer'): RegistryOptions['http'] {
  const patience = { answerMs, retries: 0, ...(kind === 'peer' && { pace: paceOfPeers }) };
  return {
    getDocument: (request, signal) => http.getDocument({ ...request, ...patience }, signal),
    download: (request, signal) => http.download({ ...request, ...patience }, signal),
    repeat: (repeated, attempt, signal) => http.repeat(repeated, attempt, signal),
  };
}

/** The same client, which follows no redirects. */
export function withoutRedirects(http: RegistryOptions['http']): RegistryOptions['http'] {
  return {
    getDocument: (request, signal) => http.getDocument({ ...request, redirects: 'none' }, signal),
    download: (request, signal) => http.download({ ...request, redirects: 'none' }, signal),
    repeat: (repeated, attempt, signal) => http.repeat(repeated, attempt, signal),
  };
}

/** Knows which mirrors and peers fail, so that they are not asked for a while. */
export type MirrorHealth = {
  /** Called before a mirror is asked. @returns undefined if it must not be asked now */
  ask(mirror: string): MirrorAttempt | undefined;
};

type MirrorAttempt = {
  readonly noteAnswer: () => void;
  /** @param what - how it is called in the warning that it is no longer asked. Each gets one warning. */
  noteFailure(error: unknown, what: string): void;
};

type MirrorRecord = { failures: number; lastMs: number; askAgainMs: number; isReported: boolean };

export function createMirrorHealth({ nowMs, onWarning }: Pick<RegistryOptions, 'nowMs' | 'onWarning'>): MirrorHealth {
  const records = new Map<string, MirrorRecord>();
  return {
    ask(mirror) {
      const askedMs = nowMs();
      const record = records.get(mirror) ?? {
        failures: 0,
        lastMs: -Infinity,
        askAgainMs: -Infinity,
        isReported: false,
      };
      records.set(mirror, record);
      if (askedMs < record.askAgainMs) return undefined;
      if (record.failures >= maxFailures) record.askAgainMs = askedMs + pauseMs; // until this request has ended, no other is sent
      const answered = (): void => {
        record.failures = 0;
        record.askAgainMs = -Infinity;
      };
      return {
        noteAnswer: answered,
        noteFailure(error, what) {
          if (!isMirrorFailure(error)) return answered();
          if (askedMs < record.lastMs) return; // of requests that fail at the same time, one counts
          record.failures += 1;
          record.lastMs = nowMs();
          if (record.failures < maxFailures) return;
          record.askAgainMs = record.lastMs + pauseMs;
          if (record.isReported) return;
          record.isReported = true;
          const why = `it failed ${maxFailures} times in a row: ${error.code}: ${error.message}`;
          onWarning(`${what} is not asked for a while, since ${why}`);
        },
      };
    },
  };
}

/** Whether the mirror did not answer, or answered with an error of its own. */
function isMirrorFailure(error: unknown): error is ImageError {
  if (hasCode(error, 'HTTP_STATUS')) return error.details.status >= 500;
  return isImageError(error) && /^(NETWORK|TIMEOUT|TLS|STALLED|LENGTH_MISMATCH)$/.test(error.code);
}
