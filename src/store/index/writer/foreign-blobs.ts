import { join } from 'node:path';

import type { OciIndexFile } from './oci-index.ts';
import type { Layout } from '../protocol.ts';
import { readBoundedSync } from '../oci-index.ts';

/** Larger documents no tool reads. */
const documentBytes = 4 * 1024 * 1024;
const maxDocuments = 10_000;
const sha256 = /^sha256:([0-9a-f]{64})$/;

type Link = { readonly digest: string; readonly isDocument: boolean };

/** What other tools keep in the layout. */
export type ForeignBlobs = {
  /** @param digest - with its algorithm. @returns true as well when not everything could be read. */
  has(digest: string): boolean;
};

/** Looks again whenever index.json is another one. */
export function createForeignBlobs(indexFile: OciIndexFile, layout: Layout): ForeignBlobs {
  let stamp: string | undefined;
  let digests: ReadonlySet<string> | undefined;
  return {
    has: (digest) => {
      const now = indexFile.stamp();
      if (now !== stamp) digests = readForeignBlobs(indexFile, layout);
      stamp = now;
      return digests?.has(digest) ?? true;
    },
  };
}

/** All that their descriptors name, and that is named by the manifests and indexes among that. */
function readForeignBlobs(indexFile: OciIndexFile, { registryBlobs }: Layout): ReadonlySet<string> | undefined {
  try {
    const digests = new Set<string>();
    const documents = new Set<string>();
    const add = ({ digest, isDocument }: Link): void => {
      digests.add(digest);
      if (isDocument) documents.add(digest);
    };
    indexFile.foreign().forEach(({ entry }) => linksIn(entry).forEach(add));
    for (const digest of documents) {
      if (documents.size > maxDocuments) return undefined;
      const [, hex] = sha256.exec(digest) ?? [];
      if (hex === undefined) return undefined;
      const file = readBoundedSync(join(registryBlobs, hex), documentBytes);
      if (file) linksIn(JSON.parse(file.text)).forEach(add);
    }
    return digests;
  } catch {
    return undefined;
  }
}

/** Every descriptor in a document, wherever it stands: what a later version of the format adds is kept as well. */
function linksIn(document: unknown): readonly Link[] {
  const links: Link[] = [];
  const open: unknown[] = [document];
  while (open.length > 0) {
    const value = open.pop();
    if (typeof value !== 'object' || value === null) continue;
    const { digest, mediaType } = value as { readonly digest?: unknown; readonly mediaType?: unknown };
    if (typeof digest === 'string') {
      links.push({ digest, isDocument: typeof mediaType === 'string' && /\b(?:manifest|index)\b/.test(mediaType) });
    }
    for (const inner of Object.values(value)) open.push(inner);
  }
  return links;
}
