import type { Clock, Http, HttpOptions } from '../../src/http/contract.ts';
import { openHttp, systemClock } from '../../src/http/open-http.ts';
import type { Teardown } from './server.ts';

/** A clock whose pauses take no time but are written down. */
export function hastyClock(): Clock & { readonly slept: readonly number[] } {
  const slept: number[] = [];
  const sleep: Clock['sleep'] = (ms, signal) => {
    slept.push(ms);
    return signal.aborted ? Promise.reject(signal.reason as Error) : Promise.resolve();
  };
  return { ...systemClock, random: () => 0.5, sleep, slept };
}

export const testOptions: HttpOptions = {
  // longer than a busy machine keeps anything waiting
  timeouts: { connectMs: 60_000, headersMs: 60_000, stallMs: 60_000 },
  limits: { archiveBytes: 1024 ** 3, redirects: 10, retryAfterMs: 300_000 },
  retries: 4,
  insecureTls: false,
  connectTo: [],
  denyNet: [],
  proxy: {},
  credentials: () => undefined,
  userAgent: 'test/1',
};

/** An Http that does not pause between tries, closed when the test ends. */
export function openTestHttp(t: Teardown, options: Partial<HttpOptions> = {}, clock: Clock = hastyClock()): Http {
  const http = openHttp({ ...testOptions, ...options }, clock);
  t.teardown(() => http.close());
  return http;
}
