import type { ExecutionContext } from 'ava';

import { type Keystore, openKeystore } from '../../src/internal.ts';
import type { Gpg } from './keys.ts';
import { temporaryDirectory } from './stored.ts';

/** A keystore that trusts keys of `gpg` for prefixes; `root` stands for every name. */
export async function openTrust(
  t: ExecutionContext,
  gpg: Gpg,
  trusted: Readonly<Record<string, string>>,
): Promise<Keystore> {
  const keystore = await openKeystore({ dirs: [await temporaryDirectory(t)] });
  for (const [prefix, fingerprint] of Object.entries(trusted)) {
    const certificate = await gpg.certificate(fingerprint);
    await keystore.add({ certificate, fingerprint, layer: 0, ...(prefix !== 'root' && { prefix }) });
  }
  return keystore;
}
