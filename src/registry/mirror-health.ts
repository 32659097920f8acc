import { hasCode, isImageError, type ImageError } from '../errors.ts';
import type { RegistryOptions } from './types.ts';

/** A mirror has so long to connect and to answer, and is asked once: there is another place to ask. */
const answerMs = 5_000;
/** Failures one after another after which a mirror is left alone, and for how long before it may try again. */
const most = 3;
const restMs = 60_000;

/** Requests to a mirror, which are not waited for as those to a registry are. */
export function impatient(http: RegistryOptions['http']): RegistryOptions['http'] {
  const patience = { answerMs, retries: 0 };
  return {
    getDocument: (request, signal) => http.getDocument({ ...request, ...patience }, signal),
    download: (request, signal) => http.download({ ...request, ...patience }, signal),
  };
}

/** Which mirrors answer. */
export type MirrorHealth = {
  /** Something is to be asked of a mirror. @returns undefined while it is left alone */
  ask(mirror: string): Asking | undefined;
};

type Asking = {
  readonly answered: () => void;
  /** @param host - for the warning when it is left alone: there is one for each mirror. */
  failed(error: unknown, host: string): void;
};

type Record = { failures: number; lastMs: number; askAgainMs: number; isTold: boolean };

export function createMirrorHealth({ nowMs, onWarning }: Pick<RegistryOptions, 'nowMs' | 'onWarning'>): MirrorHealth {
  const records = new Map<string, Record>();
  return {
    ask(mirror) {
      const askedMs = nowMs();
      const record = records.get(mirror) ?? { failures: 0, lastMs: -Infinity, askAgainMs: -Infinity, isTold: false };
      records.set(mirror, record);
      if (askedMs < record.askAgainMs) return undefined;
      if (record.failures >= most) record.askAgainMs = askedMs + restMs; // the others wait for what this one finds
      const answered = (): void => {
        record.failures = 0;
        record.askAgainMs = -Infinity;
      };
      return {
        answered,
        failed(error, host) {
          if (!isSilence(error)) return answered();
          if (askedMs < record.lastMs) return; // of requests that fail together one counts
          record.failures += 1;
          record.lastMs = nowMs();
          if (record.failures < most) return;
          record.askAgainMs = record.lastMs + restMs;
          if (record.isTold) return;
          record.isTold = true;
          onWarning(`the mirror ${host} is left alone, since it failed ${most} times: ${error.code}: ${error.message}`);
        },
      };
    },
  };
}

/** No answer, or one that says nothing but that the mirror is ill. */
function isSilence(error: unknown): error is ImageError {
  if (hasCode(error, 'HTTP_STATUS')) return error.details.status >= 500;
  return isImageError(error) && /^(NETWORK|TIMEOUT|TLS|STALLED|LENGTH_MISMATCH)$/.test(error.code);
}
