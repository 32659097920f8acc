import { createHash } from 'node:crypto';
import { join } from 'node:path';

import { openClient } from './compose.ts';
import { ImageError } from './errors.ts';
import { defaultLimits, withDefaults } from './image/limits.ts';
import { showUrl } from './image/show.ts';
import type { NetworkOptions } from './options.ts';
import { isLoopback } from './registry/place.ts';

type RootUpdate = {
  /** The URL of a repository of TUF, or of a mirror of it. */
  readonly mirror: string;
  /** The root.json of the repository; default that of the sigstore project. */
  readonly root?: { readonly path: string; readonly bytes: Uint8Array } | undefined;
  /** The directory with the metadata of all repositories. */
  readonly metadata: string;
  /** Whether what is seen of the repository is kept. */
  readonly save: boolean;
};

/**
 * Gets the trusted root of an instance of sigstore by TUF. Whom it comes from does not matter, since its owners have signed it; so what was
 * seen is kept for the owners, and not for the mirror.
 *
 * @throws TRUSTED_ROOT_REFUSED, INSECURE_REFUSED for http, CONFIG_INVALID for a root.json, LIMIT_EXCEEDED, and network errors
 */
export async function getTrustedRoot(
  options: NetworkOptions,
  { mirror, root, metadata, save }: RootUpdate,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const { protocol, host } = new URL(mirror);
  if (protocol !== 'https:' && !isLoopback(host) && options.insecure?.http !== true) {
    const message = `a trusted root is not taken over http: ${showUrl(mirror)}`;
    throw new ImageError('INSECURE_REFUSED', message, { what: 'a trusted root over http' });
  }
  const { getByTuf } = await import('./verify/tuf.ts');
  const initial = root ?? (await rootOfSigstore());
  const owners = root ? createHash('sha256').update(root.bytes).digest('hex') : 'sigstore';
  await using http = openClient(options, withDefaults(defaultLimits, options.limits));
  const get = async (url: string, bytes: number): Promise<Uint8Array> => {
    const limit = { name: 'file of a repository of TUF', bytes };
    return (await http.getDocument({ url, limit, statuses: [200] }, signal)).body;
  };
  return await getByTuf({ mirror, initial, kept: join(metadata, owners), get }, save);
}

/** As the sigstore project has published it. It does not have to be the last one. */
async function rootOfSigstore() {
  const { default: json } = await import('./verify/sigstore-root.json', { with: { type: 'json' } });
  return { path: 'the root of sigstore', bytes: Buffer.from(JSON.stringify(json)) };
}
