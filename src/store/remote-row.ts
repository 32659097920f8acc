import { hash } from 'node:crypto';

import type { RemoteRow } from '../../workers/index-writer/protocol.ts';
import { numberOf, optionalTextOf } from './columns.ts';
import { idDigits, imageIdOf } from './image-row.ts';
import type { Row } from './reader.ts';
import type { Remote } from './store.ts';

/** What is kept of an exact URL, or of any other key: a URL may carry secrets. */
export function hashKey(text: string): string {
  return hash('sha256', text, 'hex');
}

export function formatRemoteRow(url: string, record: Remote): RemoteRow {
  return {
    key: hashKey(url),
    image: idDigits(record.imageId),
    etag: record.etag ?? null,
    lastModified: record.lastModified ?? null,
    maxAgeMs: record.maxAgeMs,
    checkedAtMs: record.checkedAtMs,
    signatureUrl: record.signatureUrl ?? null,
  };
}

export function parseRemoteRow(row: Row): Remote {
  const etag = optionalTextOf(row, 'etag');
  const lastModified = optionalTextOf(row, 'last_modified');
  const signatureUrl = optionalTextOf(row, 'signature_url');
  return {
    imageId: imageIdOf(row, 'image'),
    maxAgeMs: numberOf(row, 'max_age'),
    checkedAtMs: numberOf(row, 'checked_at'),
    ...(etag !== undefined && { etag }),
    ...(lastModified !== undefined && { lastModified }),
    ...(signatureUrl !== undefined && { signatureUrl }),
  };
}
