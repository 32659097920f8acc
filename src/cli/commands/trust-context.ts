import { openKeystore, openPool, type Keystore, type Pool } from '../../index.ts';
import type { ConfigDirectories } from '../config/directories.ts';

/** The layers of trusted keys, in the order of the keystore's directories. */
export const layerNames = ['system', 'local', 'user'] as const;

/** `trust` changes the local layer for root and the user's for others; never the system's. */
export function ownLayer(): number {
  return layerNames.indexOf(process.getuid?.() === 0 ? 'local' : 'user');
}

export type TrustContext = { readonly keystore: Keystore; readonly pool: Pool };

/** Opens what `trust` works with; `resources` closes it. */
export async function openTrust(
  resources: AsyncDisposableStack,
  { system, local, user }: ConfigDirectories,
  onWarning: (message: string) => void,
): Promise<TrustContext> {
  const keystore = resources.use(await openKeystore({ dirs: [system, local, user], onWarning }));
  const pool = resources.use(openPool({ workers: 1, sessionsPerWorker: 1 }));
  return { keystore, pool };
}
