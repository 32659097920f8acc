import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';

import type { Body, OriginOptions } from './origin.ts';

/** A file by its path, such as `/demo.example/app/web-1.0.aci`. */
export type Files = ReadonlyMap<string, Uint8Array>;

/** Files that an origin finds in memory. */
export function inMemory(files: Files): OriginOptions['find'] {
  const bodies = new Map(Array.from(files, ([path, bytes]) => [path, bodyOf(bytes)]));
  return (path) => Promise.resolve(bodies.get(path));
}

function bodyOf(bytes: Uint8Array): Body {
  return {
    length: bytes.length,
    etag: `"${createHash('sha256').update(bytes).digest('hex')}"`,
    read: (from) => Readable.from([bytes.subarray(from)]),
  };
}
