import { hash } from 'node:crypto';

import { ImageError } from '../errors.ts';
import type { DownloadRequest } from '../http/contract.ts';
import { type Digest, parseDigest } from '../image/digest.ts';
import type { DownloadedFrom, RegistryClient } from './client.ts';
import type { Descriptor, Repository } from './types.ts';

type BlobDownload = Pick<DownloadRequest, 'sink' | 'range' | 'ahead' | 'onStart' | 'onProgress' | 'observer'> & {
  readonly repository: Repository;
  readonly blob: Pick<Descriptor, 'digest' | 'size'>;
  /** Hosts of mirrors that are not asked, since their content did not match the digest. */
  readonly excludedMirrors?: ReadonlySet<string>;
  /** No peer is asked. */
  readonly excludesPeers?: boolean;
};

/**
 * Downloads a blob into a sink. It is resumed as often as needed, with a new token if one expires. Its size is checked; the caller
 * must check its digest.
 *
 * @throws ImageError SIZE_MISMATCH, AUTH_REQUIRED, AUTH_DENIED, and as `download`
 * @see docs/rules.md H4, R2, R5
 */
export function downloadBlob(
  client: RegistryClient,
  { repository: where, blob, excludedMirrors, excludesPeers, ...request }: BlobDownload,
  signal: AbortSignal,
): Promise<DownloadedFrom> {
  const { host, repository, digest } = where;
  const named = { host, repository, ...(digest !== undefined && { digest }) };
  const target = {
    ...named,
    path: `blobs/${blob.digest}`,
    namedBy: 'digest',
    ...(excludedMirrors && { excludedMirrors }),
    ...(excludesPeers !== undefined && { excludesPeers }),
  } as const;
  return client.download(target, { ...request, size: blob.size, immutable: true }, signal);
}

export function digestOf(bytes: Uint8Array): Digest {
  return parseDigest(`sha256:${hash('sha256', bytes)}`);
}

/** @throws ImageError SIZE_MISMATCH, DIGEST_MISMATCH @see docs/rules.md R2 */
export function checkDigest(bytes: Uint8Array, asked: { readonly digest: Digest; readonly size?: number }): void {
  if (asked.size !== undefined && bytes.byteLength !== asked.size) throw sizeMismatch(asked.size, bytes.byteLength);
  const found = digestOf(bytes);
  if (found === asked.digest) return;
  const message = `the content has the digest ${found}, not ${asked.digest}`;
  throw new ImageError('DIGEST_MISMATCH', message, { asked: asked.digest, found });
}

/** @param found - `asked + 1` if reading stopped after one byte too many. */
export function sizeMismatch(asked: number, found: number): ImageError<'SIZE_MISMATCH'> {
  const message = found > asked ? `more than the expected ${asked} bytes` : `${found} bytes instead of ${asked}`;
  return new ImageError('SIZE_MISMATCH', message, { asked, found });
}
