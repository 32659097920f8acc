import type { Insecure } from '../../index.ts';

/** What a user should know of lifted checks before the work begins. */
export function insecureWarnings({ tls, image }: Insecure): readonly string[] {
  return [
    ...(tls ? ['TLS verification has been disabled'] : []),
    ...(image ? ['image signature verification has been disabled'] : []),
  ];
}
