import type { DiscoveryContext } from '../discovery/discover.ts';
import type { FetchContext } from './context.ts';
import { observing } from './observing.ts';

/** The part of a fetch's context that discovery needs. */
export function discovering(context: FetchContext, key: string): DiscoveryContext {
  const { http, slots, discovery, limits } = context;
  const { page: pageBytes, endpoints } = limits;
  const observer = { ...observing(context, key), onAnswer: (host: string) => slots.answered(host) };
  return { http, ...discovery, pageBytes, endpoints, observer };
}
