import { isTrustName, type Keystore, openKeystore, openPool, type Pool, show } from '../../../internal.ts';
import type { ConfigDirectories } from '../../config/directories.ts';
import type { CommandLine } from '../../options/command-line.ts';
import { usageError } from '../../options/option.ts';
import { isOn, textOf } from '../../options/read.ts';

/** The layers of trusted keys, in the order of the keystore's directories. */
export const layerNames = ['system', 'local', 'user'] as const;

/** The layer that `trust` changes: the local one for root, otherwise the user's. It never changes the system's. */
export function ownLayer(): number {
  return layerNames.indexOf(process.getuid?.() === 0 ? 'local' : 'user');
}

export type TrustContext = { readonly keystore: Keystore; readonly pool: Pool };

/** Opens the keystore and the pool for `trust`; `resources` closes them. */
export async function openTrust(
  resources: AsyncDisposableStack,
  { system, local, user }: ConfigDirectories,
  onWarning: (message: string) => void,
): Promise<TrustContext> {
  const keystore = resources.use(await openKeystore({ dirs: [system, local, user], onWarning }));
  const pool = resources.use(openPool({ workers: 1, sessionsPerWorker: 1 }));
  return { keystore, pool };
}

/** The names for which a key is trusted: all, or those with a prefix. */
export type KeyPlace = { readonly kind: 'root' } | { readonly kind: 'prefix'; readonly prefix: string };

/** Combines `--root` and `--prefix`; undefined when neither is given. @throws USAGE */
export function keyPlace(line: CommandLine): KeyPlace | undefined {
  const prefix = textOf(line, 'prefix');
  const isRoot = isOn(line, 'root');
  if (prefix === undefined) return isRoot ? { kind: 'root' } : undefined;
  if (isRoot) throw usageError('--root and --prefix usage mutually exclusive');
  const [scheme] = /^[a-z][a-z0-9+.-]*:\/\//i.exec(prefix) ?? [];
  if (scheme) throw usageError(`must not contain a URL scheme, omit ${scheme}`, '--prefix');
  if (!isTrustName(prefix)) {
    const what = 'is neither a prefix of image names nor that of a registry or of its repositories';
    throw usageError(`"${show(prefix)}" ${what}`, '--prefix');
  }
  return { kind: 'prefix', prefix };
}

export function formatKeyPlace(place: KeyPlace): string {
  return place.kind === 'root' ? 'every name (root)' : `the prefix "${place.prefix}"`;
}

/** Reads a fingerprint as programs print it, with spaces or not. @throws USAGE */
export function readFingerprint(text: string, option?: string): string {
  const fingerprint = text.replaceAll(' ', '').toLowerCase();
  if (/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(fingerprint)) return fingerprint;
  throw usageError(`"${show(text)}" is not a fingerprint: want 40 or 64 hex digits`, option);
}
