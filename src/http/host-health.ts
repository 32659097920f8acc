import { ImageError, isImageError } from '../errors.ts';
import type { Clock } from './contract.ts';

/** Knows which hosts do not answer (are dead), to which requests fail at once, and which ones have asked to be left alone for a while. */
export type HostHealth = {
  /**
   * Called before each try. One request to a dead host passes every few seconds, to find out whether it answers again.
   *
   * @throws ImageError the last error of a dead host.
   */
  check(origin: string): void;
  /** Called when a host has answered. */
  noteAnswer(origin: string): void;
  /**
   * Called when a try has failed.
   *
   * @param isLast - the request is not tried again.
   * @returns true if the host is dead, so that another try is pointless.
   */
  noteFailure(origin: string, error: unknown, isLast: boolean): boolean;
  /** Called when hosts have answered with a Retry-After: they are not asked before. */
  notePause(origins: readonly string[], error: ImageError, retryAfterMs: number): void;
  /** Until when a host has asked not to be asked, and the answer that said so; undefined if it may be asked now. */
  pauseOf(origin: string): { readonly untilMs: number; readonly error: ImageError } | undefined;
};

/** A host is dead when a request gives up and at least this many tries in a row, of any request, got no answer. */
const triesUntilDead = 3;
/** How often one request may check whether a dead host answers again. */
const recheckMs = 5_000;

type FailingHost = { tries: number; error: ImageError; isDead: boolean; recheckAtMs: number };

export function createHostHealth(clock: Pick<Clock, 'monotonic'>): HostHealth {
  const failing = new Map<string, FailingHost>();
  const paused = new Map<string, { readonly untilMs: number; readonly error: ImageError }>();
  return {
    check(origin) {
      const host = failing.get(origin);
      if (!host?.isDead) return;
      const nowMs = clock.monotonic();
      if (nowMs < host.recheckAtMs) throw refusedUnasked(host.error);
      host.recheckAtMs = nowMs + recheckMs;
    },
    noteAnswer(origin) {
      if (failing.size > 0) failing.delete(origin);
    },
    noteFailure(origin, error, isLast) {
      if (!isSilence(error, origin)) return false;
      const host = failing.get(origin) ?? { tries: 0, error, isDead: false, recheckAtMs: 0 };
      failing.set(origin, host);
      host.tries += 1;
      host.error = error;
      if (!isLast || host.tries < triesUntilDead) return host.isDead;
      host.isDead = true;
      host.recheckAtMs = clock.monotonic() + recheckMs;
      return true;
    },
    notePause(origins, error, retryAfterMs) {
      const untilMs = clock.monotonic() + retryAfterMs;
      for (const origin of origins) {
        if ((paused.get(origin)?.untilMs ?? -Infinity) < untilMs) paused.set(origin, { untilMs, error });
      }
    },
    pauseOf(origin) {
      const pause = paused.get(origin);
      if (!pause || pause.untilMs > clock.monotonic()) return pause;
      paused.delete(origin);
      return undefined;
    },
  };
}

/** Whether there was no connection or no answer from this host itself; a redirect may have led to another host. */
function isSilence(error: unknown, origin: string): error is ImageError<'NETWORK' | 'TIMEOUT'> {
  if (!isImageError(error) || (error.code !== 'NETWORK' && error.code !== 'TIMEOUT')) return false;
  return 'url' in error.details && URL.parse(error.details.url)?.origin === origin;
}

function refusedUnasked(error: ImageError): ImageError {
  const message = `${error.message}; other requests to it failed as well; it is asked again in a few seconds`;
  return new ImageError(error.code, message, error.details, { cause: error });
}
