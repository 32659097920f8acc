import type { DiscoveryContext } from '../discovery/discover.ts';
import type { FetchContext } from './context.ts';
import { observing } from './observing.ts';

/** The part of a fetch's context that discovery needs. */
export function discovering(context: FetchContext, key: string): DiscoveryContext {
  const { http, discovery, limits } = context;
  const { page: pageBytes, endpoints } = limits;
  return { http, ...discovery, pageBytes, endpoints, observer: observing(context, key) };
}
