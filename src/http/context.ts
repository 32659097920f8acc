import type { Clock } from './clock.ts';
import type { HostHealth } from './host-health.ts';
import type { RateLimiter } from './rate-limit.ts';
import type { HttpOptions, Transport } from './types.ts';

/** What every request of one Http shares. */
export type HttpContext = {
  readonly transport: Transport;
  readonly options: HttpOptions;
  readonly clock: Clock;
  /** Of all downloads together. */
  readonly limiter: RateLimiter | undefined;
  readonly health: HostHealth;
};
