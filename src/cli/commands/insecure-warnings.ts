import type { Insecure } from '../../index.ts';

/** What a user should know of lifted checks before the work begins. */
export function insecureWarnings({ tls, image, pubkey }: Insecure): readonly string[] {
  return [
    ...(tls ? ['TLS verification has been disabled'] : []),
    ...(tls && pubkey && !image ? ['signing keys may come over a connection that nobody checked'] : []),
    ...(image ? ['image signature verification has been disabled'] : []),
  ];
}
