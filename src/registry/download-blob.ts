import type { DownloadRequest } from '../http/types.ts';
import type { DownloadedFrom, RegistryClient } from './client.ts';
import type { Repository } from './documents.ts';
import type { Descriptor } from './types.ts';

export type BlobDownload = Pick<DownloadRequest, 'sink' | 'onStart' | 'onProgress' | 'observer'> & {
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
