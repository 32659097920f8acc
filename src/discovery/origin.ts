import { isWithinPrefix } from '../image/name-prefix.ts';

/** Discovery of names under `prefix` asks `origin` in place of the host that the name begins with. */
export type DiscoveryOrigin = { readonly prefix: string; readonly origin: string };

/** The origin with the longest prefix that covers the name, at a path boundary. */
export function originFor(name: string, origins: readonly DiscoveryOrigin[]): DiscoveryOrigin | undefined {
  return origins
    .filter(({ prefix }) => isWithinPrefix(name, prefix))
    .reduce<DiscoveryOrigin | undefined>(
      (best, next) => (best && best.prefix.length >= next.prefix.length ? best : next),
      undefined,
    );
}
