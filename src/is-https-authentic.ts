import type { Insecure } from './action-options.ts';

/** Whether a key that came over https may be taken for its owner's: nobody checked certificates without `tls`. */
export function isHttpsAuthentic({ tls = false, pubkey = false }: Insecure): boolean {
  return !tls || pubkey;
}
