import { createHash } from 'node:crypto';

import type { DownloadRequest } from '../http/contract.ts';
import type { DownloadedFrom, RegistryClient } from './client.ts';
import type { Repository } from './documents.ts';
import type { Descriptor } from './types.ts';
import { ImageError } from '../errors.ts';
import { parseDigest, type Digest } from '../image/digest.ts';

type BlobDownload = Pick<DownloadRequest, 'sink' | 'onStart' | 'onProgress' | 'observer'> & {
  readonly repository: Repository;
  readonly blob: Pick<Descriptor, 'digest' | 'size'>;
  /** Hosts of mirrors that are not asked: what they had did not match its digest. */
  readonly without?: ReadonlySet<string>;
};

/**
 * Brings a blob into a sink, resumed as often as it takes, with a new token where one ends on the way. Its size is
 * checked here, its digest by whoever reads the sink.
 *
 * @throws ImageError SIZE_MISMATCH, AUTH_REQUIRED, AUTH_DENIED, and what download throws
 * @see docs/rules.md H4, R2, R5
 */
export function downloadBlob(
  client: RegistryClient,
  { repository: where, blob, without, ...request }: BlobDownload,
  signal: AbortSignal,
): Promise<DownloadedFrom> {
  const { host, repository, digest } = where;
  const of = { host, repository, ...(digest !== undefined && { digest }) };
  const target = { ...of, path: `blobs/${blob.digest}`, wanted: 'digest', ...(without && { without }) } as const;
  return client.download(target, { ...request, size: blob.size, immutable: true }, signal);
}

export function digestOf(bytes: Uint8Array): Digest {
  return parseDigest(`sha256:${createHash('sha256').update(bytes).digest('hex')}`);
}

/** @throws ImageError SIZE_MISMATCH, DIGEST_MISMATCH @see docs/rules.md R2 */
export function checkDigest(bytes: Uint8Array, asked: { readonly digest: Digest; readonly size?: number }): void {
  if (asked.size !== undefined && bytes.byteLength !== asked.size) throw sizeMismatch(asked.size, bytes.byteLength);
  const found = digestOf(bytes);
  if (found === asked.digest) return;
  const message = `what came is ${found}, and not ${asked.digest}`;
  throw new ImageError('DIGEST_MISMATCH', message, { asked: asked.digest, found });
}

/** @param found - one more than asked where reading stopped there. */
export function sizeMismatch(asked: number, found: number): ImageError<'SIZE_MISMATCH'> {
  const message = found > asked ? `more than the ${asked} bytes it is to have` : `${found} bytes instead of ${asked}`;
  return new ImageError('SIZE_MISMATCH', message, { asked, found });
}
