import { ImageError, isImageError } from '../errors.ts';
import type { Clock } from './open-http.ts';

/** Hosts that do not answer: once that is certain, what else is asked of them fails at once. */
export type HostHealth = {
  /** @throws ImageError what its last try met, for a host that is dead; now and then one request may try all the same */
  check(origin: string): void;
  answered(origin: string): void;
  /**
   * A try has failed.
   *
   * @param isLast - the request that made it gives up.
   * @returns true where another try is pointless, since the host is dead.
   */
  failed(origin: string, error: unknown, isLast: boolean): boolean;
};

/** Tries without an answer in between after which a request that gives up shows that its host is dead. */
const certain = 3;
/** How often one request asks whether a dead host is back. */
const askMs = 5_000;

type Record = { tries: number; error: ImageError; dead: boolean; nextMs: number };

export function createHostHealth(clock: Pick<Clock, 'monotonic'>): HostHealth {
  const failing = new Map<string, Record>();
  return {
    check(origin) {
      const record = failing.get(origin);
      if (!record?.dead) return;
      const now = clock.monotonic();
      if (now < record.nextMs) throw again(record.error);
      record.nextMs = now + askMs;
    },
    answered(origin) {
      if (failing.size > 0) failing.delete(origin);
    },
    failed(origin, error, isLast) {
      if (!isSilence(error, origin)) return false;
      const record = failing.get(origin) ?? { tries: 0, error, dead: false, nextMs: 0 };
      failing.set(origin, record);
      record.tries += 1;
      record.error = error;
      if (!isLast || record.tries < certain) return record.dead;
      record.dead = true;
      record.nextMs = clock.monotonic() + askMs;
      return true;
    },
  };
}

/** No connection or no answer, and of this host itself: a redirect may lead to another. */
function isSilence(error: unknown, origin: string): error is ImageError<'NETWORK' | 'TIMEOUT'> {
  if (!isImageError(error) || (error.code !== 'NETWORK' && error.code !== 'TIMEOUT')) return false;
  return 'url' in error.details && URL.parse(error.details.url)?.origin === origin;
}

function again(error: ImageError): ImageError {
  const message = `${error.message}; it was asked several times for others, and is asked again in a few seconds`;
  return new ImageError(error.code, message, error.details, { cause: error });
}
